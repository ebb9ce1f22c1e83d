//! Repositories as people have them and as an attacker would make them, read by the real `git`.

mod bench;
mod hostile;
mod limits;
mod servers;

use self::bench::{Bench, shown};
use super::*;
use crate::declared::Kind;

#[tokio::test]
async fn before_any_deployment_the_head_declares() {
    let bench = Bench::new(&[("hosts/db/kernel.yaml", "vm.swappiness: 10\n")]);
    let head = bench.commit(&[("hosts/db/kernel.yaml", "vm.swappiness: 20\n")]);
    let committed = bench.read(At::Head).await.unwrap();
    assert_eq!(committed.commit.as_ref().map(Revision::as_str), Some(&*head));
    assert_eq!(shown(&committed), "hosts/db/kernel.yaml Declared vm.swappiness: 20\n");
}

#[tokio::test]
async fn the_head_and_its_ancestors_count_by_whole_and_by_short_names() {
    let bench = Bench::new(&[("kernel.yaml", "vm.swappiness: 10\n")]);
    let first = bench.head();
    let second = bench.commit(&[("kernel.yaml", "vm.swappiness: 20\n")]);
    for (commit, value) in [(&*second, 20), (&*first, 10), (&first[..7], 10), (&second[..12], 20)] {
        let committed = bench.read(At::Delivered(&commit.parse().unwrap())).await.unwrap();
        assert!(committed.commit.unwrap().as_str().starts_with(commit));
        assert_eq!(committed.files[0].text, format!("vm.swappiness: {value}\n"), "{commit}");
    }
}

#[tokio::test]
async fn what_is_not_on_the_ref_is_refused() {
    let bench = Bench::new(&[("kernel.yaml", "vm.swappiness: 10\n")]);
    let other = bench.on_a_branch("topic", &[("kernel.yaml", "vm.swappiness: 99\n")]);
    // A branch that is called as a commit could be.
    bench.work(&["branch", "abcdef12", &other]);
    bench.work(&["push", "-q", "origin", "abcdef12"]);
    let blob = bench.work(&["rev-parse", "HEAD:kernel.yaml"]);
    let unknown = "0123456789abcdef0123456789abcdef01234567";
    for commit in [&*other, &other[..8], "abcdef12", &blob, &blob[..10], unknown] {
        let told = bench.read(At::Delivered(&commit.parse().unwrap())).await.unwrap_err().to_string();
        assert!(told.contains("neither the head of main"), "{commit}: {told}");
    }
    let told = bench.read(At::Delivered(&unknown.parse().unwrap())).await.unwrap_err().to_string();
    insta::assert_snapshot!(bench.plain(&told), @r#"
    the commit 0123456789abcdef0123456789abcdef01234567 is neither the head of main of `DIR/infra.git` nor an ancestor of it
    hint: merge and push it first; `app: NAME` in the source names the application whose deployments deliver this repository
    "#);
    let chart = Revision::chart("1.4.2").unwrap();
    let told = bench.read(At::Delivered(&chart)).await.unwrap_err().to_string();
    insta::assert_snapshot!(bench.plain(&told), @r#"
    `chart:1.4.2` was delivered, wanted a commit of `DIR/infra.git`
    hint: `app: NAME` in the source names the application whose deployments deliver this repository
    "#);
}

#[tokio::test]
async fn a_commit_that_was_forced_off_the_ref_counts_no_more() {
    let bench = Bench::new(&[("kernel.yaml", "vm.swappiness: 10\n")]);
    let old = bench.commit(&[("kernel.yaml", "vm.swappiness: 20\n")]);
    bench.read(At::Delivered(&old.parse().unwrap())).await.unwrap();
    bench.work(&["reset", "-q", "--hard", "HEAD~1"]);
    let new = bench.commit(&[("kernel.yaml", "vm.swappiness: 30\n")]);
    assert_eq!(bench.read(At::Delivered(&new.parse().unwrap())).await.unwrap().files.len(), 1);
    let told = bench.read(At::Delivered(&old.parse().unwrap())).await.unwrap_err().to_string();
    assert!(told.contains("neither the head"), "{told}");
}

#[tokio::test]
async fn a_commit_that_is_known_is_read_while_the_server_is_down() {
    let bench = Bench::new(&[("kernel.yaml", "vm.swappiness: 10\n")]);
    let known: Revision = bench.head().parse().unwrap();
    bench.read(At::Delivered(&known)).await.unwrap();
    bench.take_away();
    for at in [At::Delivered(&known), At::InForce(&known), At::Taken(&known), At::Head] {
        assert_eq!(bench.read(at).await.unwrap().commit.as_ref(), Some(&known), "{at:?}");
    }
    let unknown = "0123456789".parse().unwrap();
    bench.read(At::Delivered(&unknown)).await.unwrap_err();
}

#[tokio::test]
async fn nothing_is_fetched_for_a_commit_in_force_that_is_known() {
    let bench = Bench::new(&[("kernel.yaml", "vm.swappiness: 10\n")]);
    let first: Revision = bench.head().parse().unwrap();
    bench.read(At::Head).await.unwrap();
    let second = bench.commit(&[("kernel.yaml", "vm.swappiness: 20\n")]).parse().unwrap();
    bench.read(At::InForce(&first)).await.unwrap();
    bench.read(At::Taken(&second)).await.unwrap_err();
    bench.read(At::InForce(&second)).await.unwrap();
}

#[tokio::test]
async fn a_directory_stands_for_the_files_in_it_that_declare() {
    let files = [
        ("db/20-b.conf", "vm.swappiness = 20\n"),
        ("db/10-a.conf", "vm.swappiness = 10\n"),
        ("db/map.yml", "vm.swappiness: 5\n"),
        ("db/README.md", "no\n"),
        ("db/deeper/30-c.conf", "no\n"),
        ("base.yaml", "vm.swappiness: 1\n"),
    ];
    let mut bench = Bench::new(&files);
    bench.git.paths = vec!["base.yaml".into(), "db".into()];
    insta::assert_snapshot!(shown(&bench.read(At::Head).await.unwrap()), @r#"
    base.yaml Declared vm.swappiness: 1
    db/10-a.conf SysctlD vm.swappiness = 10
    db/20-b.conf SysctlD vm.swappiness = 20
    db/map.yml Declared vm.swappiness: 5
    "#);
    bench.git.kind = Some(Kind::Procps);
    bench.git.paths = vec!["db".into()];
    insta::assert_snapshot!(shown(&bench.read(At::Head).await.unwrap()), @r#"
    db/10-a.conf Procps vm.swappiness = 10
    db/20-b.conf Procps vm.swappiness = 20
    "#);
    for path in ["none", "db/none.yaml", "db/deeper/none", "base.yaml/x"] {
        bench.git.paths = vec![path.into()];
        let told = bench.read(At::Head).await.unwrap_err().to_string();
        assert!(told.starts_with(&format!("found nothing at `{path}`")), "{told}");
    }
}

#[tokio::test]
async fn what_was_taken_last_is_read_where_nothing_else_can_be() {
    let bench = Bench::new(&[("kernel.yaml", "vm.swappiness: 10\n")]);
    assert_eq!(bench.repositories.read_kept(&bench.git).await, None);
    let committed = bench.repositories.read_known(&bench.git).await.unwrap();
    bench.repositories.take(&bench.git, committed.commit.as_ref().unwrap()).await;
    bench.commit(&[("kernel.yaml", "vm.swappiness: 20\n")]);
    bench.take_away();
    assert_eq!(bench.repositories.read_kept(&bench.git).await, Some(committed.clone()));
    assert_eq!(bench.repositories.read_known(&bench.git).await.unwrap(), committed);
}
