//! A `git` that hangs or talks without end, and repositories that are too large.

use std::{fs, io::Read};

use super::{Bench, *};

#[tokio::test]
async fn a_git_that_hangs_is_ended_with_all_that_it_started() {
    let mut bench = Bench::new(&[("kernel.yaml", "vm.swappiness: 10\n")]);
    bench.read(At::Head).await.unwrap();
    let fifo = bench.path("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RWXU).unwrap();
    let hang = format!(
        "[ \"$1\" = fetch ] || exec git \"$@\"\ntouch \"$GIT_DIR/refs/driftd/head.lock\"\n\
         sleep 600 > {fifo} &\nsleep 600 > {fifo}",
        fifo = fifo.display()
    );
    bench.install("git", &hang);
    bench.git.timeout = Duration::from_secs(1);
    let alive =
        std::thread::spawn(move || fs::File::open(fifo).unwrap().read_to_end(&mut Vec::new()).unwrap());
    let unknown = "0123456789".parse().unwrap();
    let told = bench.read(At::Delivered(&unknown)).await.unwrap_err().to_string();
    insta::assert_snapshot!(bench.plain(&told), @r#"
    reading `DIR/infra.git` took longer than 1 s
    hint: does the server answer? `timeout:` of the source gives it longer
    "#);
    // The pipe ends when nobody has it open for writing any more.
    alive.join().unwrap();
    // What it left does not stop the next one.
    bench.install("git", "exec git \"$@\"");
    bench.git.timeout = Duration::from_secs(30);
    let commit = bench.commit(&[("kernel.yaml", "vm.swappiness: 20\n")]).parse().unwrap();
    bench.read(At::Delivered(&commit)).await.unwrap();
}

#[tokio::test]
async fn a_git_that_talks_without_end_is_stopped() {
    let mut bench = Bench::new(&[("kernel.yaml", "vm.swappiness: 10\n")]);
    bench.install("git", "[ \"$1\" = ls-tree ] || exec git \"$@\"\nexec yes");
    let told = bench.read(At::Head).await.unwrap_err().to_string();
    insta::assert_snapshot!(bench.plain(&told), @r#"
    found more than 1048576 bytes in what `git` says of `DIR/infra.git`, wanted files that declare keys
    hint: name the right path
    "#);
    bench.install(
        "git",
        "[ \"$1\" = fetch ] || exec git \"$@\"\nyes fatal: much | head -c 1000000 >&2\nexit 1",
    );
    let unknown = "0123456789".parse().unwrap();
    let told = bench.read(At::Delivered(&unknown)).await.unwrap_err().to_string();
    insta::assert_snapshot!(bench.plain(&told), @r#"
    cannot read `DIR/infra.git`: git says: much
    hint: `git ls-remote DIR/infra.git`, run as the user of driftd, may tell more
    "#);
}

#[tokio::test]
async fn no_git_is_told() {
    let mut bench = Bench::new(&[("kernel.yaml", "vm.swappiness: 10\n")]);
    bench.repositories.environment = vec![("PATH".into(), "/nowhere".into())];
    let told = bench.read(At::Head).await.unwrap_err().to_string();
    insta::assert_snapshot!(bench.plain(&told), @r#"
    cannot run `git`: entity not found
    hint: install git, 2.31 or newer
    "#);
}

/// Bytes that nobody compresses, always the same.
fn noise(bytes: usize) -> String {
    let mut state = 1_u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b' ' + (state >> 33) as u8 % 95)
    };
    std::iter::repeat_with(next).take(bytes).collect()
}

#[tokio::test]
async fn a_file_is_no_larger_than_what_declares() {
    let bench = Bench::new(&[("kernel.yaml", &noise(1 << 20))]);
    assert_eq!(bench.read(At::Head).await.unwrap().files[0].text.len(), 1 << 20);
    bench.commit(&[("kernel.yaml", &noise((1 << 20) + 1))]);
    let told = bench.read(At::Head).await.unwrap_err().to_string();
    assert!(told.starts_with("found more than 1048576 bytes in `kernel.yaml`"), "{told}");
}

#[tokio::test]
async fn the_files_of_a_source_are_no_larger_together_than_what_declares() {
    let mut bench = Bench::new(&[("a/0.yaml", "vm.swappiness: 10\n")]);
    bench.git.paths = vec!["a".into()];
    // One object under many names: next to nothing is pushed for them.
    let one = noise(1 << 20);
    bench.commit(&[("a/0.yaml", &one), ("a/1.yaml", &one), ("a/2.yaml", &one), ("a/3.yaml", &one)]);
    assert_eq!(bench.read(At::Head).await.unwrap().files.len(), 4);
    bench.commit(&[("a/4.yaml", "vm.swappiness: 10\n")]);
    let told = bench.read(At::Head).await.unwrap_err().to_string();
    assert!(told.starts_with("found more than 4194304 bytes with the files before in `a/4.yaml`"), "{told}");
}

#[tokio::test]
async fn a_repository_is_no_larger_than_it_may_be_and_leaves_nothing() {
    let mut bench = Bench::new(&[("kernel.yaml", "vm.swappiness: 10\n"), ("large", &noise(3 << 20))]);
    bench.git.most_bytes = 1 << 20;
    for _ in 0..2 {
        let told = bench.read(At::Head).await.unwrap_err().to_string();
        assert!(told.starts_with("found more than 1048576 bytes in"), "{told}");
    }
    bench.git.most_bytes = 64 << 20;
    bench.read(At::Head).await.unwrap();
    // One that has grown beyond it is fetched anew, and that is too much again.
    bench.git.most_bytes = 1 << 20;
    bench.read(At::Head).await.unwrap_err();
    let kept = keep::place(&bench.repositories.directory, &bench.git);
    assert_eq!(keep::packs(&kept), 0);
}

#[tokio::test]
async fn many_fetches_leave_few_packs() {
    let bench = Bench::new(&[("kernel.yaml", "vm.swappiness: 0\n")]);
    let mut most = 0;
    for value in 1..=MOST_PACKS + 2 {
        bench.commit(&[("kernel.yaml", &format!("vm.swappiness: {value}\n"))]);
        bench.read(At::Head).await.unwrap();
        most = most.max(keep::packs(&keep::place(&bench.repositories.directory, &bench.git)));
    }
    assert!(most < MOST_PACKS, "{most}");
}

#[tokio::test]
async fn two_who_read_at_once_wait_for_each_other() {
    let bench = Bench::new(&[("kernel.yaml", "vm.swappiness: 10\n")]);
    let (a, b) = tokio::join!(bench.read(At::Head), bench.read(At::Head));
    assert_eq!(a.unwrap(), b.unwrap());
}
