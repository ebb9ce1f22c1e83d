//! The one place of driftd that writes kernel state: compare, write, re-read. It writes what it is told, and nothing where
//! the live value is another than the one that was judged.

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    path::Path,
};

use super::{Step, mtu};
use crate::{
    kernel::{ReadError, Reader},
    model::{Key, Value},
};

/// A write that is to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// The key that departs.
    pub key: Key,
    /// The value that was judged: with any other in force nothing is written.
    pub judged: Value,
    /// What is written. It may be another key that sets this one too.
    pub step: Step,
}

/// What became of an order.
#[derive(Debug)]
pub enum Applied {
    /// It was written, and this is in force since.
    Written(Result<Option<Value>, ReadError>),
    /// Another value was in force than the one that was judged: nothing was written.
    Moved(Option<Value>),
    /// It could not be read before, so nothing was written.
    Unread(ReadError),
    /// The kernel refused it.
    Refused(io::Error),
    /// A deploy window opened, or driftd is to stop: nothing was written.
    Held,
    /// What is to be done could not be recorded first: nothing was written.
    Unrecorded,
}

/// Carries out an order. `held` is asked last, right before the write.
pub fn apply(root: &Path, order: &Order, held: impl FnOnce() -> bool) -> Applied {
    // Nothing is kept open, so that what is read is what has this name now.
    let mut reader = Reader::new(root, 0);
    match reader.read(&order.key) {
        Ok(live) if live.as_ref() == Some(&order.judged) => {}
        Ok(live) => return Applied::Moved(live),
        Err(error) => return Applied::Unread(error),
    }
    if held() {
        return Applied::Held;
    }
    match write(root, &order.step) {
        Ok(()) => Applied::Written(reader.read(&order.key)),
        Err(error) => Applied::Refused(error),
    }
}

fn write(root: &Path, step: &Step) -> io::Result<()> {
    let Step { key, value } = step;
    match key {
        Key::Link { interface } => mtu::set(interface, value),
        _ => {
            let path = root.join(key.path().trim_start_matches('/'));
            let mut file = OpenOptions::new().write(true).open(path)?;
            // One write: the kernel takes each for the whole value (sysctl_writes_strict, sysfs).
            let text = format!("{value}\n");
            match file.write(text.as_bytes())? {
                written if written == text.len() => Ok(()),
                written => {
                    Err(io::Error::other(format!("the kernel took {written} of {} bytes", text.len())))
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_host::host;

    const KEY: &str = "vm.swappiness";

    fn order(judged: &str, wanted: &str) -> Order {
        let key: Key = KEY.parse().unwrap();
        let value = |text| Value::canonical(&key, text);
        Order { judged: value(judged), step: Step { key: key.clone(), value: value(wanted) }, key }
    }

    /// Carries an order out on a host where the value is 61.
    fn on_host(order: &Order, held: bool) -> (String, String) {
        let root = host(&[("proc/sys/vm/swappiness", "61\n")]);
        let said = match apply(root.path(), order, || held) {
            Applied::Written(Ok(Some(value))) => format!("written, {value} since"),
            Applied::Moved(Some(value)) => format!("moved to {value}"),
            Applied::Refused(error) => format!("refused: {}", error.kind()),
            other => format!("{other:?}"),
        };
        (said, std::fs::read_to_string(root.path().join("proc/sys/vm/swappiness")).unwrap())
    }

    #[test]
    fn it_compares_writes_and_reads_again() {
        assert_eq!(on_host(&order("61", "10"), false), ("written, 10 since".into(), "10\n".into()));
    }

    #[test]
    fn another_value_than_the_judged_one_is_left_alone() {
        assert_eq!(on_host(&order("62", "10"), false), ("moved to 61".into(), "61\n".into()));
    }

    #[test]
    fn what_is_held_is_not_written() {
        assert_eq!(on_host(&order("61", "10"), true), ("Held".into(), "61\n".into()));
    }

    #[test]
    fn a_file_that_is_not_there_is_not_made() {
        let root = host(&[]);
        let made = apply(root.path(), &order("61", "10"), || false);
        assert!(matches!(made, Applied::Moved(None)), "{made:?}");
        assert!(!root.path().join("proc/sys/vm/swappiness").exists());
    }
}
