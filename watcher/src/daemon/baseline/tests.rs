//! Claims about what is read anew and when, with a repository and a configuration made of files, and a loop made by hand.

use std::{fs, process::Command};

use tempfile::TempDir;

use super::*;
use crate::declared::{Kind, Repository, Request};

/// A directory with a repository `infra` whose one commit declares `vm.swappiness`, and what reads it.
fn bench(amiss: Option<&str>) -> (TempDir, Arc<Wanted>, Baseline) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("infra");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("kernel.yaml"), "vm.swappiness: 10\n").unwrap();
    for arguments in [&["init", "-q", "-b", "main"][..], &["add", "-A"], &["commit", "-q", "-m", "m"]] {
        let mut git = Command::new("git");
        git.current_dir(&path).args(arguments);
        git.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
        for role in ["AUTHOR", "COMMITTER"] {
            git.env(format!("GIT_{role}_NAME"), "a").env(format!("GIT_{role}_EMAIL"), "a@example.org");
        }
        assert!(git.status().unwrap().success(), "{arguments:?}");
    }
    let git = Git {
        reference: "refs/heads/main".into(),
        paths: vec!["kernel.yaml".into()],
        ..Git::of(Repository::Local(path))
    };
    let wanted = Arc::new(Wanted::new(Vec::new(), vec![Request::Git(Arc::new(git))], Vec::new()));
    let config = Config { state: dir.path().join("state"), ..config::without_file() };
    let file = Some(dir.path().join("driftd.yaml"));
    let baseline = Baseline::new(wanted.clone(), config, file, Vec::new(), amiss.map(Into::into));
    (dir, wanted, baseline)
}

fn head(wanted: &Wanted) -> String {
    let Some(Git { repository: Repository::Local(path), .. }) = wanted.repositories().next() else {
        panic!()
    };
    fs::read_to_string(path.join(".git/refs/heads/main")).unwrap().trim().to_owned()
}

#[tokio::test]
async fn what_was_read_for_a_message_that_may_take_nothing_does_not_end_the_repair() {
    let (_dir, wanted, mut baseline) = bench(Some("the server is down"));
    let message = Announcement::of(Phase::Finished, &head(&wanted));
    baseline.sources(&wanted, Some(&message)).await.unwrap();
    assert_eq!(baseline.amiss.as_deref(), Some("the server is down"));
    baseline.sources(&wanted, None).await.unwrap();
    assert_eq!(baseline.amiss, None);
}

#[tokio::test]
async fn the_next_try_is_not_put_off_by_messages() {
    let (_dir, wanted, mut baseline) = bench(Some("the server is down"));
    let due = baseline.again;
    baseline.sources(&wanted, Some(&Announcement::of(Phase::Finished, &head(&wanted)))).await.unwrap();
    baseline.sources(&wanted, Some(&Announcement::of(Phase::Finished, "0123456789"))).await.unwrap_err();
    assert_eq!((baseline.again, baseline.amiss.is_some()), (due, true));
    let (_dir, wanted, mut baseline) = bench(None);
    let made = baseline.again;
    baseline.sources(&wanted, Some(&Announcement::of(Phase::Finished, "0123456789"))).await.unwrap_err();
    assert!(baseline.again > made, "the first failure begins a wait");
}

/// Whether the commit that was read is kept in mind, where the loop says that it took it, or did not.
async fn is_kept(taken: bool) -> bool {
    let (_dir, wanted, mut baseline) = bench(None);
    baseline.sources(&wanted, None).await.unwrap();
    let (arrivals, mut inbox) = mpsc::channel(1);
    let answer = async {
        let Some(Arrival::InForce(reply)) = inbox.recv().await else { panic!() };
        assert!(reply.send(InForce { deployments: Vec::new(), taken }).is_ok());
    };
    assert!(tokio::join!(baseline.follow(&arrivals), answer).0);
    baseline.repositories.read_kept(wanted.repositories().next().unwrap()).await.is_some()
}

#[tokio::test]
async fn a_commit_is_kept_in_mind_where_the_loop_took_it_alone() {
    assert!(is_kept(true).await);
    assert!(!is_kept(false).await);
}

#[tokio::test]
async fn repositories_and_files_that_are_wrong_are_told_together() {
    let (dir, wanted, mut baseline) = bench(None);
    let git = |name: &str| Request::Git(Arc::new(Git::of(Repository::Local(dir.path().join(name)))));
    let mut requests: Vec<Request> =
        wanted.repositories().map(|git| Request::Git(Arc::new(git.clone()))).collect();
    let file = Request::File { kind: Kind::Declared, path: "/no/such.yaml".into() };
    requests.extend([git("none1"), git("none2"), file]);
    let wanted = Arc::new(Wanted::new(Vec::new(), requests, Vec::new()));
    let why = baseline.sources(&wanted, None).await.unwrap_err();
    for named in ["none1", "none2", "/no/such.yaml"] {
        assert!(why.contains(&format!("{named}`")), "{named}: {why}");
    }
    let at_start = start(&wanted, &baseline.repositories, &[]).await.unwrap_err();
    assert_eq!(at_start, why, "a file that cannot be read is no reason to start without the rest");
}

#[test]
fn what_a_verdict_bears_of_very_many_mistakes_says_that_there_are_more() {
    let many = std::io::Error::other(vec!["found a\nhint: b"; 80].join("\n\n"));
    let told = words(&many);
    assert_eq!(told.matches("found a").count(), MOST_TOLD);
    assert!(told.ends_with("\n\nand more\nhint: `driftd config check` says all of it"), "{told}");
}

#[tokio::test]
async fn a_configuration_with_mistakes_is_not_forgotten_by_a_reading_of_the_sources() {
    let (dir, wanted, mut baseline) = bench(None);
    let file = dir.path().join("driftd.yaml");
    fs::write(&file, "drift_rulez: []\n").unwrap();
    let why = baseline.all().await.unwrap_err();
    let read =
        baseline.sources(&wanted, Some(&Announcement::of(Phase::Finished, &head(&wanted)))).await.unwrap();
    assert_eq!(read.broken, Some(why));
    fs::write(&file, "declared:\n  vm.swappiness: 10\n").unwrap();
    assert_eq!(baseline.all().await.unwrap().broken, None);
    assert_eq!(baseline.sources(&wanted, None).await.unwrap().broken, None);
}
