//! `driftd adopt KEY`: the change to the declaring file, of this host or of a repository, that would make the live value
//! the declared one.
//!
//! It is shown and never made: who declares, commits. What the changed file would declare is tried before it is shown.

mod patch;

use std::{fs, io::Write, path::Path, sync::Arc};

use anyhow::{Context, anyhow, bail};

use self::patch::{harmless, patch};
use super::{
    exit,
    explain::{delivered, read, rules_of},
};
use crate::{
    alerts::clean,
    config::{self, Config},
    declared::{Committed, CommittedFile, Git, Kind, Line, Only, Target, resolve, sysctl, tuned},
    kernel::{Interfaces, Reader},
    model::{Expectation, Key, Pattern, Revision, Rule, Value},
    sources::Wanted,
    store,
};

/// Shows the patch; nothing where the key is as declared.
pub(super) fn run(
    mut config: Config,
    file: Option<&Path>,
    key: &Key,
    mut out: impl Write,
) -> anyhow::Result<u8> {
    let wanted = Arc::new(Wanted::take(&mut config));
    let Some((mut declared, committed)) = read(&wanted, &config.state)? else { return Ok(exit::USAGE) };
    declared.then(delivered(&config, store::Reader::open(&config.state)?.as_ref())?);
    let Some(live) = Reader::new(Path::new("/"), 0).read(key)? else {
        bail!("found no {key} on this host, wanted a value to adopt");
    };
    if key.is_secret() {
        bail!("{key} is a secret, which is shown nowhere\nhint: edit the file that declares it");
    }
    let rules = rules_of(&declared, key);
    let rule = match rules.as_slice() {
        [(rule, _)] => *rule,
        [] => bail!("nothing declares {key}\nhint: `driftd explain {key}`"),
        _ => bail!("found {} rules for {key}, wanted one\nhint: `driftd explain {key}`", rules.len()),
    };
    let Expectation::Equal(expected) = &rule.expectation else {
        bail!(
            "{key} is declared by `{}` ({}) not as one value, wanted one to replace\nhint: edit the file",
            rule.name,
            rule.source
        );
    };
    if Value::canonical(key, expected) == live {
        return Ok(exit::IN_SYNC);
    }
    if let Some(commit) = &rule.commit {
        let Some((git, file)) = of_repository(&wanted, &committed, rule, commit) else {
            bail!(
                "{key} is declared by {} of commit {}, wanted a file of this host or of a repository\nhint: change it where the pipeline has it from",
                rule.source,
                commit.short()
            );
        };
        let after = adopted(&file.text, File::Source(file.kind), key, rule, expected, &live)?;
        // What stands in front of a patch is passed over by what applies it.
        let patch = harmless(patch(&file.path, &file.text, &after), &rule.source)?;
        write!(out, "{}\n{patch}", above(git, commit))?;
        return Ok(exit::IN_SYNC);
    }
    let path = Path::new(&*rule.source.file);
    let before = fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let of = if file == Some(path) { File::Config } else { File::Source(wanted.kind_of(path)) };
    let after = adopted(&before, of, key, rule, expected, &live)?;
    write!(out, "{}", harmless(patch(&rule.source.file, &before, &after), &rule.source)?)?;
    Ok(exit::IN_SYNC)
}

/// The file of a repository that declares for a rule, where one does: a message has a commit too.
fn of_repository<'r>(
    wanted: &'r Wanted,
    committed: &'r [Committed],
    rule: &Rule,
    commit: &Revision,
) -> Option<(&'r Git, &'r CommittedFile)> {
    let at = wanted.repositories().zip(committed).filter(|(_, of)| of.commit.as_ref() == Some(commit));
    let declares = |file: &&CommittedFile| file.path == rule.source.file;
    at.filter_map(|(git, of)| Some((git, of.files.iter().find(declares)?))).next()
}

/// Of which repository a patch is, and what it was made from.
fn above(git: &Git, commit: &Revision) -> String {
    clean(&format!(
        "# for a checkout of {}, {}, by `git apply`: made from commit {commit}",
        git.repository,
        git.branch()
    ))
}

/// What the file is that is to be changed.
#[derive(Clone, Copy)]
enum File {
    /// The configuration.
    Config,
    /// A source.
    Source(Kind),
}

/// The text with the live value as the declared one.
fn adopted(
    before: &str,
    of: File,
    key: &Key,
    rule: &Rule,
    expected: &str,
    live: &Value,
) -> anyhow::Result<String> {
    let number = rule.source.line;
    let place = &rule.source;
    let by_hand = || {
        anyhow!(
            "{place} says it in a way that is not rewritten by itself\nhint: declare {key} as `{}` there by hand",
            clean(live.as_str())
        )
    };
    // What would end the line of a file, or of the patch itself, is no value for it.
    if [live.as_str(), &place.file].iter().any(|text| text.contains(char::is_control)) {
        return Err(by_hand());
    }
    let line = before.split_inclusive('\n').nth(number.saturating_sub(1));
    let line =
        line.with_context(|| format!("found no line {number} in `{}`: it changed meanwhile", place.file))?;
    let candidates = [replaced(line, expected, live), added(line, of, key, live)];
    for candidate in candidates.into_iter().flatten() {
        let mut after = String::with_capacity(before.len() + candidate.len());
        for (index, other) in before.split_inclusive('\n').enumerate() {
            after.push_str(if index + 1 == number { &candidate } else { other });
        }
        // Only what differs in this one key is shown.
        if declares(&after, of, key).as_ref() == Some(live) && is_alone(before, &after, of, key) {
            return Ok(after);
        }
    }
    Err(by_hand())
}

/// The line with the last mention of the expected value replaced.
fn replaced(line: &str, expected: &str, live: &Value) -> Option<String> {
    let value = line.find(['=', ':'])? + 1;
    let at = line.get(value..)?.rfind(expected)? + value;
    let (start, rest) = line.split_at(at);
    Some(format!("{start}{live}{}", rest.get(expected.len()..)?))
}

/// The line, a glob perhaps, and after it one for the key alone, which is stronger.
fn added(line: &str, of: File, key: &Key, live: &Value) -> Option<String> {
    let indent: String = line.chars().take_while(|char| *char == ' ').collect();
    let (name, sign) = match of {
        File::Source(Kind::SysctlD | Kind::Procps) => (key.to_string(), " ="),
        File::Source(Kind::Declared) => (key.to_string(), ":"),
        File::Source(Kind::Tuned) | File::Config => return None,
    };
    let end = if line.ends_with('\n') { "" } else { "\n" };
    Some(format!("{line}{end}{indent}{name}{sign} {live}\n"))
}

/// What a file declares, as lines.
fn lines(text: &str, of: File) -> Option<(Kind, Vec<Line>)> {
    let name: Arc<str> = "file".into();
    let lines = match of {
        File::Config => {
            return config::parse("file", text).ok().map(|config| (Kind::Declared, config.declared));
        }
        File::Source(Kind::Declared) => config::declared(&name, &name, text).ok()?,
        File::Source(Kind::Tuned) => tuned::declare(&name, &[tuned::Profile::parse(&name, text)]).lines,
        File::Source(Kind::SysctlD) => sysctl::parse(sysctl::Applier::Systemd, &name, &name, text).lines,
        File::Source(Kind::Procps) => sysctl::parse(sysctl::Applier::Procps, &name, &name, text).lines,
    };
    let File::Source(kind) = of else { return None };
    Some((kind, lines))
}

/// Whether a key of a file is this one, which has its interface's own name.
fn means(of_file: &Key, key: &Key) -> bool {
    of_file == key || Interfaces::new(Path::new("/")).by_own_name(of_file.clone()) == *key
}

/// The value that a file declares for a key.
fn declares(text: &str, of: File, key: &Key) -> Option<Value> {
    if let File::Config = of {
        let config = config::parse("file", text).ok()?;
        let of_key = config.rules.iter().find(|rule| rule.keys.iter().any(|other| means(other, key)));
        if let Some(Expectation::Equal(value)) = of_key.map(|rule| &rule.expectation) {
            return Some(Value::canonical(key, value));
        }
    }
    let (kind, mut lines) = lines(text, of)?;
    for line in &mut lines {
        if let Target::Key(other) = &line.target
            && means(other, key)
        {
            line.target = Target::Key(key.clone());
        }
    }
    let matching = |pattern: &Pattern, _: Only| match pattern.means(key) {
        true => vec![key.clone()],
        false => Vec::new(),
    };
    let declarations = resolve(kind, &lines, matching);
    let last = declarations.into_iter().rfind(|declaration| declaration.key == *key)?;
    match last.expectation {
        Expectation::Equal(value) => Some(Value::canonical(key, &value)),
        _ => None,
    }
}

/// Whether two texts say the same of all but one key.
fn is_alone(before: &str, after: &str, of: File, key: &Key) -> bool {
    let others = |text: &str| {
        let mut all: Vec<String> = Vec::new();
        let (_, lines) = lines(text, of)?;
        let is_key = |target: &Target| matches!(target, Target::Key(other) if means(other, key));
        all.extend(
            lines.iter().filter(|line| !is_key(&line.target)).map(|l| format!("{} {:?}", l.target, l.says)),
        );
        if let File::Config = of {
            // A rule that names more keys than this one would change for all of them.
            let rules = config::parse("file", text).ok()?.rules;
            let only = |rule: &Rule| {
                matches!(rule.keys.as_slice(), [other] if means(other, key)) && rule.patterns.is_empty()
            };
            all.extend(
                rules.iter().filter(|rule| !only(rule)).map(|r| format!("{} {:?}", r.name, r.expectation)),
            );
        }
        Some(all)
    };
    others(before).is_some_and(|before| others(after) == Some(before))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{IfAbsent, Severity, Source};

    fn rule(line: usize, expected: &str) -> Rule {
        Rule {
            name: "r".into(),
            keys: Vec::new(),
            patterns: Vec::new(),
            if_absent: Some(IfAbsent::Drift),
            expectation: Expectation::Equal(expected.into()),
            severity: Severity::default(),
            hold: std::time::Duration::ZERO,
            settle: Rule::DEFAULT_SETTLE,
            mute: None,
            remedy: crate::model::Remedy::Notify,
            source: Source { file: "/etc/f".into(), line },
            commit: None,
        }
    }

    /// The patch that makes 61 the declared value of vm.swappiness, or why there is none.
    fn patched(of: File, before: &str, line: usize, expected: &str) -> String {
        let key: Key = "vm.swappiness".parse().unwrap();
        let live = Value::canonical(&key, "61");
        match adopted(before, of, &key, &rule(line, expected), expected, &live) {
            Ok(after) => patch("/etc/f", before, &after),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_line_that_declares_is_changed_and_nothing_else() {
        let sysctl = File::Source(Kind::SysctlD);
        insta::assert_snapshot!(patched(sysctl, "# a\n\nvm.x = 10\nvm.y = 10\nvm.swappiness=10\nvm.z = 1\n", 5, "10"), @r#"
        --- a/etc/f
        +++ b/etc/f
        @@ -2,5 +2,5 @@
         
         vm.x = 10
         vm.y = 10
        -vm.swappiness=10
        +vm.swappiness=61
         vm.z = 1
        "#);
        insta::assert_snapshot!(patched(sysctl, "vm.swappiness = 10", 1, "10"), @r#"
        --- a/etc/f
        +++ b/etc/f
        @@ -1,1 +1,1 @@
        -vm.swappiness = 10
        \ No newline at end of file
        +vm.swappiness = 61
        \ No newline at end of file
        "#);
        insta::assert_snapshot!(patched(File::Source(Kind::Tuned), "[sysctl]\nvm.swappiness=10\n", 2, "10"), @r#"
        --- a/etc/f
        +++ b/etc/f
        @@ -1,2 +1,2 @@
         [sysctl]
        -vm.swappiness=10
        +vm.swappiness=61
        "#);
        insta::assert_snapshot!(patched(File::Source(Kind::Declared), "declared:\n  vm.swappiness: \"10\" # why\n", 2, "10"), @r#"
        --- a/etc/f
        +++ b/etc/f
        @@ -1,2 +1,2 @@
         declared:
        -  vm.swappiness: "10" # why
        +  vm.swappiness: "61" # why
        "#);
    }

    #[test]
    fn a_key_that_a_glob_means_gets_a_line_of_its_own() {
        insta::assert_snapshot!(patched(File::Source(Kind::SysctlD), "vm.swap* = 10\n", 1, "10"), @r#"
        --- a/etc/f
        +++ b/etc/f
        @@ -1,1 +1,2 @@
         vm.swap* = 10
        +vm.swappiness = 61
        "#);
        insta::assert_snapshot!(patched(File::Source(Kind::Declared), "vm.swap*: 10\n", 1, "10"), @r#"
        --- a/etc/f
        +++ b/etc/f
        @@ -1,1 +1,2 @@
         vm.swap*: 10
        +vm.swappiness: 61
        "#);
    }

    #[test]
    fn a_rule_of_one_key_is_changed_and_one_of_several_is_left_to_people() {
        let one = "drift_rules:\n  a:\n    keys: vm.swappiness\n    expect: 10\n";
        insta::assert_snapshot!(patched(File::Config, one, 4, "10"), @r#"
        --- a/etc/f
        +++ b/etc/f
        @@ -1,4 +1,4 @@
         drift_rules:
           a:
             keys: vm.swappiness
        -    expect: 10
        +    expect: 61
        "#);
        let two = "drift_rules:\n  a:\n    keys: vm.swappiness vm.x\n    expect: 10\n";
        insta::assert_snapshot!(patched(File::Config, two, 4, "10"), @r#"
        /etc/f:4 says it in a way that is not rewritten by itself
        hint: declare vm.swappiness as `61` there by hand
        "#);
        let inline = "declared:\n  vm.swappiness: 10\n";
        insta::assert_snapshot!(patched(File::Config, inline, 2, "10"), @r#"
        --- a/etc/f
        +++ b/etc/f
        @@ -1,2 +1,2 @@
         declared:
        -  vm.swappiness: 10
        +  vm.swappiness: 61
        "#);
    }

    /// What `git` says in a directory.
    #[track_caller]
    fn git(directory: &Path, arguments: &[&str]) -> String {
        let mut git = std::process::Command::new("git");
        git.current_dir(directory).args(arguments);
        git.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
        for role in ["AUTHOR", "COMMITTER"] {
            git.env(format!("GIT_{role}_NAME"), "a").env(format!("GIT_{role}_EMAIL"), "a@example.org");
        }
        let output = git.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    #[test]
    fn what_a_repository_declares_is_a_patch_that_git_applies_in_a_checkout() {
        let dir = tempfile::tempdir().unwrap();
        let infra = dir.path().join("infra");
        let path = infra.join("hosts/d b/kernel.yaml");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let text = |ostype: &str| {
            let values =
                |names: &[&str]| names.iter().map(|n| format!("  kernel.{n}: Plan9\n")).collect::<String>();
            let (before, after) = (values(&["a", "b", "c", "d"]), values(&["w", "x", "y", "z"]));
            format!("declared:\n{before}  kernel.ostype: {ostype} # why\n{after}")
        };
        fs::write(&path, text("Plan9")).unwrap();
        git(&infra, &["init", "-q", "-b", "main"]);
        git(&infra, &["add", "-A"]);
        git(&infra, &["commit", "-q", "-m", "m"]);
        let head = git(&infra, &["rev-parse", "HEAD"]);
        let source = format!("{{ repository: {}, ref: main, path: hosts/d b/kernel.yaml }}", infra.display());
        let state = dir.path().join("state");
        let config = format!("state: {}\ndeclared_from:\n- git: {source}\n", state.display());
        let mut said = Vec::new();
        let key = "kernel.ostype".parse().unwrap();
        let code = run(config::parse("f", &config).unwrap(), None, &key, &mut said).unwrap();
        assert_eq!(code, exit::IN_SYNC);
        let said = String::from_utf8(said).unwrap();
        let plain = said.replace(&infra.display().to_string(), "INFRA").replace(&head, "HEAD");
        insta::assert_snapshot!(plain.replace('\t', "<TAB>"), @r#"
        # for a checkout of INFRA, main, by `git apply`: made from commit HEAD
        --- a/hosts/d b/kernel.yaml<TAB>
        +++ b/hosts/d b/kernel.yaml<TAB>
        @@ -3,7 +3,7 @@
           kernel.b: Plan9
           kernel.c: Plan9
           kernel.d: Plan9
        -  kernel.ostype: Plan9 # why
        +  kernel.ostype: Linux # why
           kernel.w: Plan9
           kernel.x: Plan9
           kernel.y: Plan9
        "#);
        // More has come meanwhile, and it is a checkout, not the repository that is read.
        git(dir.path(), &["clone", "-q", "infra", "work"]);
        let work = dir.path().join("work");
        let there = work.join("hosts/d b/kernel.yaml");
        fs::write(&there, format!("# new\n{}", fs::read_to_string(&there).unwrap())).unwrap();
        fs::write(dir.path().join("patch"), &said).unwrap();
        git(&work, &["apply", "../patch"]);
        assert_eq!(fs::read_to_string(&there).unwrap(), format!("# new\n{}", text("Linux")));
        assert_eq!(fs::read_to_string(&path).unwrap(), text("Plan9"), "nothing was written");
    }

    #[test]
    fn what_would_end_a_line_of_the_patch_is_left_to_people() {
        let key: Key = "kernel.hostname".parse().unwrap();
        let live = Value::canonical(&key, "a\u{1b}[2J\nb");
        let error =
            adopted("kernel.hostname: c\n", File::Source(Kind::Declared), &key, &rule(1, "c"), "c", &live);
        insta::assert_snapshot!(error.unwrap_err(), @r"
        /etc/f:1 says it in a way that is not rewritten by itself
        hint: declare kernel.hostname as `a\u{1b}[2J\nb` there by hand
        ");
    }

    #[test]
    fn what_a_variable_says_is_left_to_people() {
        let text = "[variables]\na=10\n[sysctl]\nvm.swappiness=${a}\n";
        insta::assert_snapshot!(patched(File::Source(Kind::Tuned), text, 4, "10"), @r#"
        /etc/f:4 says it in a way that is not rewritten by itself
        hint: declare vm.swappiness as `61` there by hand
        "#);
    }
}
