//! All that is declared on a host: the rules of its configuration and what its sources say, read anew when asked.

use std::{borrow::Cow, collections::BTreeSet, path::Path, sync::Arc};

use super::{
    SourceErrors,
    load::{Read, read},
};
use crate::{
    config::Config,
    declared::{
        Baseline, Committed, Composed, Conflict, Declaration, Git, Kind, Line, NotUnderstood, Overruled,
        Request, compose,
    },
    judge::described,
    kernel::{Interfaces, Spelled},
    model::{Key, Rule},
};

/// How many lines that were not understood, and how many conflicts, are told one by one.
const TOLD: usize = 20;

/// What a configuration names as declared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    rules: Vec<Rule>,
    requests: Vec<Request>,
    lines: Vec<Line>,
}

impl Wanted {
    /// Rules, sources and the values that stand in no file of their own, which come after the sources.
    pub fn new(rules: Vec<Rule>, requests: Vec<Request>, lines: Vec<Line>) -> Wanted {
        Wanted { rules, requests, lines }
    }

    /// Takes it out of a configuration, where nothing needs it any more.
    pub fn take(config: &mut Config) -> Wanted {
        let lines = std::mem::take(&mut config.declared);
        Wanted::new(std::mem::take(&mut config.rules), std::mem::take(&mut config.declared_from), lines)
    }

    /// What the file is that declares something, by the source that led to it.
    pub fn kind_of(&self, file: &Path) -> Kind {
        let named = self.requests.iter().find_map(|request| match request {
            Request::File { kind, path } if file.starts_with(path) => Some(*kind),
            Request::File { .. } | Request::Host(_) | Request::Git(_) => None,
        });
        let of_host = self.requests.iter().find_map(|request| match request {
            Request::Host(applier) => Some(applier.kind()),
            Request::File { .. } | Request::Git(_) => None,
        });
        match file.file_name().and_then(|name| name.to_str()) {
            _ if named.is_some() => named.unwrap_or(Kind::SysctlD),
            // What a profile includes, or a profile by its name.
            Some("tuned.conf") => Kind::Tuned,
            _ => of_host.unwrap_or(Kind::SysctlD),
        }
    }

    /// The repositories that declare, in their order.
    pub fn repositories(&self) -> impl Iterator<Item = &Git> {
        self.requests.iter().filter_map(|request| match request {
            Request::Git(git) => Some(&**git),
            Request::File { .. } | Request::Host(_) => None,
        })
    }

    /// Whether there is anything besides the configuration that can say another thing the next time.
    pub fn has_files(&self) -> bool {
        !self.requests.is_empty()
    }
}

/// What is declared, as it was read.
#[derive(Debug)]
pub struct Declared {
    /// The rules that are judged.
    pub rules: Vec<Rule>,
    /// All that sources declare, every side of it.
    pub baseline: Baseline,
    /// The rules that do not heed a source.
    pub overruled: Vec<Overruled>,
    /// The lines that declare nothing because they were not understood.
    pub not_understood: Vec<NotUnderstood>,
    /// Why it is not what should be declared, where something could not be read and is missing in it, or is as it was.
    pub broken: Option<String>,
    wanted: Arc<Wanted>,
    read: Read,
    interfaces: Interfaces,
    /// Whether what is declared depends on the interfaces, modules and devices there are.
    follows: bool,
}

impl Declared {
    /// Reads everything that is wanted, for the keys there are below `root`. What repositories declare was read before: one
    /// for each of [`Wanted::repositories`].
    ///
    /// # Errors
    /// Sources cannot be read, or have mistakes: all of them.
    pub fn read(
        wanted: &Arc<Wanted>,
        committed: &[Committed],
        root: &Path,
    ) -> Result<Declared, SourceErrors> {
        let mut read = read(&wanted.requests, committed, root)?;
        read.refuse_barred_patterns(root)?;
        read.then(&wanted.lines);
        let not_understood = std::mem::take(&mut read.not_understood);
        let mut interfaces = Interfaces::new(root);
        let baseline = read.resolve(&mut interfaces)?;
        let Composed { rules, overruled } = compose(&by_own_names(&wanted.rules, &mut interfaces), &baseline);
        let mut keys = wanted.rules.iter().flat_map(|rule| &rule.keys);
        let follows =
            read.depends_on(&mut interfaces) || keys.any(|key| interfaces.spelled(key) != Spelled::Own);
        Ok(Declared {
            rules,
            baseline,
            overruled,
            not_understood,
            broken: None,
            wanted: wanted.clone(),
            read,
            interfaces,
            follows,
        })
    }

    /// Lets what came with deployments be declared after all the rest.
    pub fn then(&mut self, inline: Vec<Declaration>) {
        if inline.is_empty() {
            return;
        }
        for declaration in &inline {
            self.follows |= self.interfaces.spelled(&declaration.key) != Spelled::Own;
        }
        let inline = of_this_host(inline, &mut self.interfaces);
        self.baseline.then(inline);
        let rules = by_own_names(&self.wanted.rules, &mut self.interfaces);
        let Composed { rules, overruled } = compose(&rules, &self.baseline);
        (self.rules, self.overruled) = (rules, overruled);
    }

    /// Lets go of what was read, where only [`Declared::follow`] is still needed.
    pub fn forget(self) -> Declared {
        let (rules, overruled, not_understood) = (Vec::new(), Vec::new(), Vec::new());
        Declared { rules, baseline: Baseline::default(), overruled, not_understood, broken: None, ..self }
    }

    /// What is worth a word and is no mistake: one for each key about which two disagree, and one for each line that was
    /// not understood. Of each kind no more than `most`, and then how many more.
    pub fn warnings(&self, most: usize) -> Vec<String> {
        let Declared { overruled, not_understood, .. } = self;
        let conflicts = self.baseline.conflicts();
        let mut warnings: Vec<String> = overruled.iter().take(most).map(overruled_words).collect();
        warnings.extend(conflicts.iter().take(most).map(conflict_words));
        warnings.extend(not_understood.iter().take(most).map(ToString::to_string));
        let more = [overruled.len(), conflicts.len(), not_understood.len()];
        let more: usize = more.into_iter().map(|count| count.saturating_sub(most)).sum();
        if more > 0 {
            warnings.push(format!("{more} more like these\nhint: `driftd config check` lists them all"));
        }
        warnings
    }

    /// Logs the warnings, the first of many.
    pub fn warn(&self) {
        self.warnings(TOLD).iter().for_each(|warning| tracing::warn!("{warning}"));
    }

    /// Whether the keys that are declared depend on what there is.
    pub fn follows(&self) -> bool {
        self.follows
    }

    /// The rules for the keys there are now, with what came with deployments; `None` where they cannot be told.
    pub fn follow(&mut self, inline: Vec<Declaration>) -> Option<Vec<Rule>> {
        match self.read.resolve(&mut self.interfaces) {
            Ok(mut baseline) => {
                baseline.then(of_this_host(inline, &mut self.interfaces));
                Some(compose(&by_own_names(&self.wanted.rules, &mut self.interfaces), &baseline).rules)
            }
            Err(error) => {
                tracing::warn!("what the patterns of sources mean stays as it was: {error}");
                None
            }
        }
    }
}

/// Declarations with the keys of interfaces by the names these have in /proc and /sys.
fn of_this_host(inline: Vec<Declaration>, interfaces: &mut Interfaces) -> Vec<Declaration> {
    let named = |declaration: Declaration| Declaration {
        key: interfaces.by_own_name(declaration.key),
        ..declaration
    };
    inline.into_iter().map(named).collect()
}

/// Rules with the keys of interfaces by the names these have in /proc and /sys.
fn by_own_names<'r>(rules: &'r [Rule], interfaces: &mut Interfaces) -> Cow<'r, [Rule]> {
    let mut named = Cow::Borrowed(rules);
    let of_interfaces = |rule: &Rule| rule.keys.iter().any(|key| key.interface().is_some());
    for (at, rule) in rules.iter().enumerate().filter(|(_, rule)| of_interfaces(rule)) {
        // One interface may be named twice, by two names.
        let keys: BTreeSet<Key> = rule.keys.iter().map(|key| interfaces.by_own_name(key.clone())).collect();
        if rule.keys.iter().any(|key| !keys.contains(key))
            && let Some(rule) = named.to_mut().get_mut(at)
        {
            rule.keys = keys.into_iter().collect();
        }
    }
    named
}

fn overruled_words(overruled: &Overruled) -> String {
    let Overruled { rule, expectation, source, declaration } = overruled;
    let key = &declaration.key;
    format!(
        "{key} is declared {} ({}), and the rule `{rule}` wants {} ({source}): the rule holds",
        described(key, &declaration.expectation, None),
        declaration.source,
        described(key, expectation, None)
    )
}

fn conflict_words(Conflict { declared, against }: &Conflict<'_>) -> String {
    let words = |d: &Declaration| format!("{} ({})", described(&d.key, &d.expectation, None), d.source);
    let against: Vec<String> = against.iter().map(|declaration| words(declaration)).collect();
    format!(
        "{} is declared {} and before that {}: the last holds",
        declared.key,
        words(declared),
        against.join(", ")
    )
}
