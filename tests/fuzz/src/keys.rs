//! Any text is a key, a pattern or a mistake. What is a key is spelt one way, and any value has one form for it.
//!
//! The first line is the key; what follows is its value, or a path that a pattern may mean.

use watcher::model::{Key, Pattern, Quantity, Value};

pub fn feed(text: &str) {
    let (name, rest) = text.split_once('\n').unwrap_or((text, ""));
    match name.parse::<Key>() {
        Ok(key) => {
            check_key(&key);
            check_value(&key, rest);
        }
        Err(why) => assert_eq!(why.found, name),
    }
    if let Ok(pattern) = Pattern::parse(name) {
        check_pattern(&pattern, rest);
    }
}

fn check_key(key: &Key) {
    let again: Key = key.to_string().parse().expect("what is printed is a key");
    assert_eq!(again, *key);
    assert_eq!(again.to_string(), key.to_string(), "one spelling");
    let is_a_whole_file = match key {
        Key::Sysctl { column, .. } => column.is_none(),
        Key::NetDev { counter } => counter.is_none(),
        Key::Sysfs { field, .. } => field.is_none(),
        Key::Cmdline { parameter } => parameter.is_none(),
        Key::Link { .. } => true,
        Key::Meminfo { .. } | Key::Pressure { .. } | Key::Processes { .. } => false,
    };
    let path = key.path();
    assert!(path.starts_with("/proc") || path.starts_with("/sys/"), "{path}");
    assert!(!path.split('/').any(|part| part == ".."), "{path}");
    if is_a_whole_file {
        assert_eq!(path.parse().as_ref(), Ok(key), "the file of a key is a spelling of it");
    }
}

fn check_value(key: &Key, text: &str) {
    let value = Value::canonical(key, text);
    assert_eq!(Value::canonical(key, value.as_str()), value, "canonical is a fixed point");
    if !key.is_literal() && value.is_shown_as(text.as_bytes()) {
        assert_eq!(Value::canonical(key, text), value);
    }
    if let Some(quantity) = value.quantity() {
        assert_eq!(quantity.to_string().parse::<Quantity>().as_ref(), Ok(&quantity));
    }
}

fn check_pattern(pattern: &Pattern, path: &str) {
    let again = Pattern::parse(&pattern.to_string()).expect("what is printed is a pattern");
    assert_eq!(again, *pattern);
    if pattern.matches(path)
        && let Some(key) = pattern.key_at(path)
    {
        assert!(pattern.means(&key), "{pattern} means {key}, which is at {path}");
    }
}
