//! A map of keys and values: `vm.swappiness: 10`. It says values and nothing else: no rule, no remedy, no path.

use std::{
    collections::{HashMap, hash_map},
    sync::Arc,
};

use super::{
    file::FIELDS,
    node::{self, Entry, Node, Tree},
    problem::{Problems, Wrong, quoted},
    scalar,
};
use crate::{
    declared::{Line, Says, Target},
    model::{Expectation, IfAbsent, Source},
};

/// Reads a file that holds a map of keys and values, as it stands or under the one name `declared`. `from` is the source
/// it belongs to, `file` the name it is shown under.
///
/// # Errors
/// All mistakes at once.
pub fn declared(from: &Arc<str>, file: &Arc<str>, text: &str) -> Result<Vec<Line>, Problems> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut problems = Problems::new(file, text);
    let node = node::parse(text, &mut problems);
    let tree = node.as_ref().map(|node| match &node.tree {
        // No key is called so: it has neither a dot nor a slash.
        Tree::Map(entries) => match entries.as_slice() {
            [only] if &*only.name.text == "declared" => &only.value,
            _ => node,
        },
        _ => node,
    });
    let lines = tree.map(|node| map(node, from, file, &mut problems)).unwrap_or_default();
    problems.or(lines)
}

/// The lines of a map of keys and values. Those with a mistake are in `problems`.
pub(super) fn map(node: &Node, from: &Arc<str>, file: &Arc<str>, problems: &mut Problems) -> Vec<Line> {
    match &node.tree {
        Tree::Nothing => Vec::new(),
        Tree::Map(entries) => {
            let mut first = HashMap::new();
            entries.iter().filter_map(|entry| line(entry, from, file, &mut first, problems)).collect()
        }
        Tree::Scalar(_) | Tree::List(_) => {
            let wrong = Wrong::new("a map of keys and values").hint("one `key: value` a line");
            problems.push(node.span, node.described(), wrong);
            Vec::new()
        }
    }
}

/// `first` is where each key stood first: which of two values of one key is meant, whatever its spellings, nobody can tell.
fn line(
    entry: &Entry,
    from: &Arc<str>,
    file: &Arc<str>,
    first: &mut HashMap<Target, usize>,
    problems: &mut Problems,
) -> Option<Line> {
    let name = &entry.name;
    let target = Target::parse(&name.text).map_err(|why| {
        let hint = match FIELDS.contains(&&*name.text) {
            true => "a map says values: rules, sources and all else stand in the configuration of the host",
            false => why,
        };
        problems.push(name.span, quoted(&name.text), Wrong::new("a key").hint(hint));
    });
    match target.as_ref().ok().map(|target| first.entry(target.clone())) {
        Some(hash_map::Entry::Occupied(first)) => {
            let wrong = Wrong::new("each key once").hint(format!("the first stands in line {}", first.get()));
            problems.push(name.span, format!("{} a second time", quoted(&first.key().to_string())), wrong);
        }
        Some(hash_map::Entry::Vacant(place)) => drop(place.insert(name.span.line)),
        None => {}
    }
    let value = scalar::text(&entry.value, "one value, as in `\"4096 131072 6291456\"`", problems);
    Some(Line {
        target: target.ok()?,
        says: Says::Expect(Expectation::Equal(value?.into())),
        if_absent: IfAbsent::Drift,
        from: from.clone(),
        source: Source { file: file.clone(), line: name.span.line },
        commit: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, wanted: &[&str]) {
        let lines = declared(&"s".into(), &"f".into(), text).unwrap();
        let said = lines.iter().map(|line| match &line.says {
            Says::Expect(Expectation::Equal(value)) => format!("{} {} = {value}", line.source, line.target),
            other => format!("{other:?}"),
        });
        assert_eq!(said.collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn a_map_of_keys_and_values_declares_them() {
        check("", &[]);
        check("declared:\n", &[]);
        check("vm.swappiness: 10\n", &["f:1 vm.swappiness = 10"]);
        let text = "# a\ndeclared:\n  kernel.core_pattern: '|/bin/x %p'\n  net.ipv4.conf.*.rp_filter: 010\n";
        check(text, &["f:3 kernel.core_pattern = |/bin/x %p", "f:4 net.ipv4.conf.*.rp_filter = 010"]);
    }

    #[track_caller]
    fn check_refused(text: &str, found: &[&str]) {
        let problems = declared(&"s".into(), &"f".into(), text).unwrap_err();
        let told: Vec<_> =
            problems.iter().map(|problem| format!("{} {}", problem.span.line, problem.found)).collect();
        assert_eq!(told, found, "{text}");
    }

    #[test]
    fn a_key_stands_in_a_map_once_whatever_its_spelling() {
        check_refused(
            "vm.swappiness: 1\n/proc/sys/vm/swappiness: 2\nvm/swappiness: 1\n",
            &["2 `vm.swappiness` a second time", "3 `vm.swappiness` a second time"],
        );
        let thrice = "vm.swappiness: 1\n/proc/sys/vm/swappiness: 2\nvm/swappiness: 1\n";
        let problems = declared(&"s".into(), &"f".into(), thrice).unwrap_err();
        let hints: Vec<_> = problems.iter().map(|problem| problem.hint.as_deref().unwrap()).collect();
        assert_eq!(hints, ["the first stands in line 1"; 2]);
        check_refused("fs.file-nr:max: 1\n\"fs.file-nr:[2]\": 1\n", &["2 `fs.file-nr:max` a second time"]);
        check("vm.swappiness: 1\nvm.swap*: 2\n", &["f:1 vm.swappiness = 1", "f:2 vm.swap* = 2"]);
    }

    #[test]
    fn a_null_is_no_value_and_a_text_in_quotes_is_what_it_says() {
        for null in ["", "~", "null", "Null", "NULL"] {
            check_refused(&format!("vm.swappiness: {null}\n"), &["1 nothing"]);
        }
        check("kernel.hostname: 'null'\n", &["f:1 kernel.hostname = null"]);
        check("kernel.hostname: nullx\n", &["f:1 kernel.hostname = nullx"]);
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let text = "vm.swappiness: [1, 2]\nswappiness: 1\nvm.max_map_count:\n/etc/shadow: x\n";
        let problems = declared(&"s".into(), &"f".into(), text).unwrap_err();
        insta::assert_snapshot!(problems.render(false), @r#"
        error: found a list, wanted one value, as in `"4096 131072 6291456"`
         --> f:1:16
          |
        1 | vm.swappiness: [1, 2]
          |                ^^^^^

        error: found `swappiness`, wanted a key
         --> f:2:1
          |
        2 | swappiness: 1
          | ^^^^^^^^^^
          |
          = hint: a sysctl has at least two components, as in `vm.swappiness`

        error: found nothing, wanted one value, as in `"4096 131072 6291456"`
         --> f:3:1
          |
        3 | vm.max_map_count:
          | ^^^^^^^^^^^^^^^^

        error: found `/etc/shadow`, wanted a key
         --> f:4:1
          |
        4 | /etc/shadow: x
          | ^^^^^^^^^^^
          |
          = hint: files below /proc/sys and /sys, /proc/meminfo:FIELD, /proc/net/dev, /proc/pressure/RESOURCE:LINE.FIELD, /proc/[pid]/stat:state=LETTER and /proc/cmdline:NAME are what can be watched

        4 mistakes in f
        "#);
        declared(&"s".into(), &"f".into(), "- a\n").unwrap_err();
    }
}
