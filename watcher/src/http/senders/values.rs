//! `declared` of the plain form: keys and values, checked to the last one. Values and nothing else: no pattern, no rule,
//! no remedy.

use std::{collections::HashSet, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess},
};
use serde_json::Value as Json;

use super::field::{Unreadable, excerpt};
use crate::model::{Barred, InvalidKey, Key, Pattern, Values};

/// The most values that are taken: as many as a host declares that declares everything.
const VALUES: usize = 10_000;

/// The longest value, in characters: sysctl(8) writes no longer line, and the kernel takes a page.
const VALUE: usize = 4096;

/// How many mistakes are told one by one.
const TOLD: usize = 5;

/// A map, as it is sent: in its order, and with what is there twice.
#[derive(Debug)]
pub struct Sent(Vec<(String, Json)>);

impl<'de> Deserialize<'de> for Sent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Sent, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Sent;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of keys and values as `declared`")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Sent, A::Error> {
                let mut sent = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    sent.push(entry);
                    if sent.len() > VALUES {
                        return Err(de::Error::custom(format_args!(
                            "more than {VALUES} values in `declared`"
                        )));
                    }
                }
                Ok(Sent(sent))
            }
        }

        deserializer.deserialize_map(Visitor)
    }
}

/// The values of a map.
///
/// # Errors
/// What is wrong with the first of those that are, and how many more are wrong. Nothing is taken then.
pub fn checked(sent: Sent) -> Result<Values, Unreadable> {
    let (mut values, mut wrong, mut seen) = (Vec::with_capacity(sent.0.len()), Vec::new(), HashSet::new());
    for (name, value) in sent.0 {
        match (key(&name), text(&value)) {
            (Ok(key), Ok(_)) if !seen.insert(key.clone()) => {
                wrong.push(format!("`{}` is there twice", excerpt(&name)));
            }
            (Ok(key), Ok(text)) => values.push((key, text)),
            (Err(why), _) | (Ok(_), Err(why)) => wrong.push(format!("`{}`: {why}", excerpt(&name))),
        }
    }
    if wrong.is_empty() {
        return Ok(values.into());
    }
    let more = wrong.len().saturating_sub(TOLD);
    wrong.truncate(TOLD);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    Err(Unreadable::Declared(format!("{}{more}", wrong.join("; "))))
}

fn key(name: &str) -> Result<Key, &'static str> {
    if Pattern::is_one(name) {
        return Err("a message declares keys that are written out, and no pattern");
    }
    let key: Key = name.parse().map_err(|invalid: InvalidKey| invalid.wanted)?;
    // What came with a message is stored, and shown to who may ask.
    match key.barred() {
        None => Ok(key),
        Some(Barred::Secret) => Err("a secret is declared by a file of the host, and never by a message"),
        Some(Barred::Program) => {
            Err("what names a program is declared by a file of the host, and never by a message")
        }
        Some(Barred::Place) => Err(
            "of /sys a message declares files of block, class, devices, fs/cgroup and kernel/mm, and none beyond a link out of them",
        ),
    }
}

fn text(value: &Json) -> Result<Box<str>, &'static str> {
    match value {
        Json::Number(number) if number.is_i64() || number.is_u64() => Ok(number.to_string().into()),
        Json::String(text) if text.chars().count() > VALUE => Err("a value of more than 4096 characters"),
        Json::String(text) if text.chars().any(|char| char.is_control() && char != '\t') => {
            Err("a value with a control character in it")
        }
        Json::String(text) => Ok(text.as_str().into()),
        _ => Err("the value is neither a text nor a whole number"),
    }
}
