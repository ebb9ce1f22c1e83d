//! All that is declared on a host: the rules of its configuration and what its sources say, read anew when asked.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    SourceError,
    load::{Read, read},
};
use crate::{
    config::Config,
    declared::{Baseline, Composed, Conflict, Kind, Line, NotUnderstood, Overruled, Request, compose},
    judge::described,
    model::Rule,
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
            Request::File { .. } | Request::Host(_) => None,
        });
        let of_host = self.requests.iter().find_map(|request| match request {
            Request::Host(applier) => Some(applier.kind()),
            Request::File { .. } => None,
        });
        match file.file_name().and_then(|name| name.to_str()) {
            _ if named.is_some() => named.unwrap_or(Kind::SysctlD),
            // What a profile includes, or a profile by its name.
            Some("tuned.conf") => Kind::Tuned,
            _ => of_host.unwrap_or(Kind::SysctlD),
        }
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
    again: Option<Again>,
}

/// What is needed to look again which keys the patterns of sources mean.
#[derive(Debug)]
struct Again {
    wanted: Arc<Wanted>,
    read: Read,
    root: PathBuf,
}

impl Declared {
    /// Reads everything that is wanted, for the keys there are below `root`.
    ///
    /// # Errors
    /// A source cannot be read, or has mistakes.
    pub fn read(wanted: &Arc<Wanted>, root: &Path) -> Result<Declared, SourceError> {
        let mut read = read(&wanted.requests, root)?;
        read.then(&wanted.lines);
        let not_understood = std::mem::take(&mut read.not_understood);
        let baseline = read.resolve(root)?;
        let Composed { rules, overruled } = compose(&wanted.rules, &baseline);
        Ok(Declared {
            rules,
            baseline,
            overruled,
            not_understood,
            again: read.has_patterns().then(|| Again { wanted: wanted.clone(), read, root: root.to_owned() }),
        })
    }

    /// Lets go of what was read, where only [`Declared::follow`] is still needed.
    pub fn forget(self) -> Declared {
        let (rules, overruled, not_understood) = (Vec::new(), Vec::new(), Vec::new());
        Declared { rules, baseline: Baseline::default(), overruled, not_understood, again: self.again }
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

    /// Whether the keys that sources declare depend on what there is.
    pub fn follows(&self) -> bool {
        self.again.is_some()
    }

    /// The rules for the keys there are now; `None` where they do not depend on that, or cannot be told.
    pub fn follow(&self) -> Option<Vec<Rule>> {
        let Again { wanted, read, root } = self.again.as_ref()?;
        match read.resolve(root) {
            Ok(baseline) => Some(compose(&wanted.rules, &baseline).rules),
            Err(error) => {
                tracing::warn!("what the patterns of sources mean stays as it was: {error}");
                None
            }
        }
    }
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
    let words = |d: &crate::declared::Declaration| {
        format!("{} ({})", described(&d.key, &d.expectation, None), d.source)
    };
    let against: Vec<String> = against.iter().map(|declaration| words(declaration)).collect();
    format!(
        "{} is declared {} and before that {}: the last holds",
        declared.key,
        words(declared),
        against.join(", ")
    )
}
