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
    declared::{Baseline, Composed, Conflict, Line, NotUnderstood, Overruled, Request, compose},
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
    /// What is worth a word and is no mistake: who disagrees with whom, and what was not understood.
    pub warnings: Vec<String>,
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
            warnings: warnings(&baseline, &overruled, &not_understood),
            again: read.has_patterns().then(|| Again { wanted: wanted.clone(), read, root: root.to_owned() }),
        })
    }

    /// Lets go of the rules, where only [`Declared::follow`] is still needed.
    pub fn forget_rules(&mut self) {
        self.rules = Vec::new();
        self.warnings = Vec::new();
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

/// One warning for each key about which two disagree, and one for each line that was not understood.
fn warnings(baseline: &Baseline, overruled: &[Overruled], not_understood: &[NotUnderstood]) -> Vec<String> {
    let conflicts = baseline.conflicts();
    let mut warnings: Vec<String> = overruled.iter().take(TOLD).map(overruled_words).collect();
    warnings.extend(conflicts.iter().take(TOLD).map(conflict_words));
    warnings.extend(not_understood.iter().take(TOLD).map(ToString::to_string));
    let more = [overruled.len(), conflicts.len(), not_understood.len()];
    let more: usize = more.into_iter().map(|count| count.saturating_sub(TOLD)).sum();
    if more > 0 {
        warnings
            .push(format!("{more} more like these\nhint: `driftd check --declared` lists all of a source"));
    }
    warnings
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
