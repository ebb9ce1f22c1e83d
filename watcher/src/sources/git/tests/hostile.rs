//! Repositories that want more than to declare.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt, fs::symlink},
};

use super::{Bench, *};

#[tokio::test]
async fn links_and_submodules_are_not_followed() {
    let mut bench = Bench::new(&[("kernel.yaml", "vm.swappiness: 10\n")]);
    symlink("/etc/passwd", bench.path("work/link.yaml")).unwrap();
    symlink("/etc", bench.path("work/out")).unwrap();
    symlink("../../..", bench.path("work/up")).unwrap();
    let head = bench.head();
    bench.work(&["update-index", "--add", "--cacheinfo", &format!("160000,{head},module")]);
    bench.work(&["add", "link.yaml", "out", "up"]);
    bench.work(&["commit", "-q", "-m", "m"]);
    bench.work(&["push", "-q", "origin", "main"]);
    for (path, found) in [
        ("link.yaml", "a link"),
        ("out", "a link"),
        ("out/passwd", "nothing"),
        ("up/kernel.yaml", "nothing"),
        ("module", "a submodule"),
        ("module/a.yaml", "nothing"),
    ] {
        bench.git.paths = vec![path.into()];
        let told = bench.read(At::Head).await.unwrap_err().to_string();
        assert!(told.starts_with(&format!("found {found} at `{path}`")), "{told}");
    }
    bench.git.paths = vec!["link.yaml".into()];
    let told = bench.read(At::Head).await.unwrap_err().to_string();
    insta::assert_snapshot!(bench.plain(&told), @r#"
    found a link at `link.yaml` in commit COMMIT of `DIR/infra.git`, wanted a file that declares keys, or a directory of them
    hint: links and submodules are not followed
    "#);
}

#[tokio::test]
async fn a_link_among_the_files_of_a_directory_is_told() {
    let mut bench = Bench::new(&[("db/kernel.yaml", "vm.swappiness: 10\n")]);
    symlink("/etc/passwd", bench.path("work/db/link.yaml")).unwrap();
    bench.commit(&[]);
    bench.git.paths = vec!["db".into()];
    let told = bench.read(At::Head).await.unwrap_err().to_string();
    assert!(told.starts_with("found a link at `db/link.yaml`"), "{told}");
}

#[tokio::test]
async fn nothing_that_a_repository_says_is_run() {
    let bench = Bench::new(&[("kernel.yaml", "vm.swappiness: 10\n")]);
    bench.commit(&[(".gitattributes", "* filter=evil diff=evil\n"), ("kernel.yaml", "vm.swappiness: 20\n")]);
    let (canary, script) = (bench.path("canary"), bench.path("evil"));
    fs::write(&script, format!("#!/bin/sh\ntouch {}\ncat\n", canary.display())).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let evil = script.to_str().unwrap();
    for name in [
        "uploadpack.packObjectsHook",
        "core.fsmonitor",
        "core.sshCommand",
        "core.gitProxy",
        "core.alternateRefsCommand",
        "core.pager",
        "core.askPass",
        "credential.helper",
        "filter.evil.smudge",
        "filter.evil.process",
        "diff.evil.textconv",
        "gpg.program",
    ] {
        bench.run("infra.git", &["config", name, evil]);
    }
    bench.run("infra.git", &["config", "alias.upload-pack", &format!("!{evil}")]);
    bench.run("infra.git", &["config", "core.hooksPath", bench.path("hooks").to_str().unwrap()]);
    for directory in ["hooks", "infra.git/hooks"] {
        fs::create_dir_all(bench.path(directory)).unwrap();
        for hook in
            ["reference-transaction", "post-checkout", "post-merge", "pre-auto-gc", "post-index-change"]
        {
            fs::copy(&script, bench.path(directory).join(hook)).unwrap();
        }
    }
    let committed = bench.read(At::Head).await.unwrap();
    assert_eq!(committed.files[0].text, "vm.swappiness: 20\n");
    assert!(!canary.exists(), "something was run");
}

#[tokio::test]
async fn an_object_that_stands_for_another_is_not_taken_for_it() {
    let bench = Bench::new(&[("kernel.yaml", "vm.swappiness: 10\n")]);
    let (evil, head) = (bench.on_a_branch("t", &[("kernel.yaml", "vm.swappiness: 99\n")]), bench.head());
    bench.run("infra.git", &["replace", &head, &evil]);
    let committed = bench.read(At::Delivered(&head.parse().unwrap())).await.unwrap();
    assert_eq!(committed.files[0].text, "vm.swappiness: 10\n");
}

#[tokio::test]
async fn a_name_that_is_no_text_is_told_where_it_would_declare() {
    let mut bench = Bench::new(&[("db/kernel.yaml", "vm.swappiness: 10\n")]);
    bench.git.paths = vec!["db".into()];
    fs::write(bench.path("work/db").join(OsStr::from_bytes(b"\xff.txt")), "x").unwrap();
    bench.commit(&[]);
    assert_eq!(bench.read(At::Head).await.unwrap().files.len(), 1);
    fs::write(bench.path("work/db").join(OsStr::from_bytes(b"a\n\xff.yaml")), "x").unwrap();
    bench.commit(&[]);
    let told = bench.read(At::Head).await.unwrap_err().to_string();
    assert!(told.starts_with(r"found a name that is not UTF-8 at `db/a\n\xff.yaml`"), "{told}");
}

#[tokio::test]
async fn a_path_is_a_path_and_no_pattern() {
    let mut bench = Bench::new(&[("kernel.yaml", "vm.swappiness: 10\n")]);
    for path in ["*.yaml", ":(glob)**/*.yaml", ":/kernel.yaml", "kernel.yam?"] {
        bench.git.paths = vec![path.into()];
        let told = bench.read(At::Head).await.unwrap_err().to_string();
        assert!(told.starts_with("found nothing"), "{told}");
    }
}
