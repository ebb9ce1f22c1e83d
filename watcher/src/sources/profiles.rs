//! Finds TuneD profiles and those they include.

use std::{collections::HashSet, path::Path, sync::Arc};

use super::{
    SourceError,
    file::{self, Root},
};
use crate::declared::{
    Parsed,
    tuned::{self, Profile},
};

/// Where TuneD looks, the last word first (`profile_dirs` of tuned-main.conf, the names of before 2.23 included).
const DIRECTORIES: [&str; 4] =
    ["/etc/tuned/profiles", "/etc/tuned", "/usr/lib/tuned/profiles", "/usr/lib/tuned"];

/// The most bytes of a profile: the largest that TuneD brings has a tenth of it.
const MOST_BYTES: u64 = 64 << 10;

/// The most profiles that one may include, and those in turn.
const MOST_PROFILES: usize = 64;

/// What a profile declares, by the path of its file or by its name on the host of `root`.
pub(super) fn load(named: &Path, from: &Arc<str>, root: &Root) -> Result<Parsed, SourceError> {
    let name = named.to_str().filter(|name| is_name(name) && !named.exists());
    let mut seen = HashSet::new();
    let (file, text) = match name {
        None => (named.display().to_string(), file::read(named, MOST_BYTES)?),
        Some(name) => find(root, name, &seen)?.ok_or_else(|| SourceError::NoProfile {
            name: name.to_owned(),
            looked: DIRECTORIES.map(|directory| format!("`{directory}`")).join(", "),
        })?,
    };
    let mut profiles = Vec::new();
    seen.insert(file.clone());
    include(root, &file.into(), &text, &mut seen, &mut profiles)?;
    Ok(tuned::declare(from, &profiles))
}

/// What a profile of a repository declares by itself: which of the host's own it would be merged with is not for it to say, so
/// that what it includes is listed.
pub(super) fn alone(from: &Arc<str>, file: &Arc<str>, text: &str) -> Parsed {
    let mut profile = Profile::parse(file, text);
    for included in profile.includes().to_vec() {
        profile.include_is_missing(&included);
    }
    tuned::declare(from, &[profile])
}

/// Reads a profile after those it includes.
fn include(
    root: &Root,
    file: &Arc<str>,
    text: &str,
    seen: &mut HashSet<String>,
    profiles: &mut Vec<Profile>,
) -> Result<(), SourceError> {
    let mut profile = Profile::parse(file, text);
    for included in profile.includes().to_vec() {
        match find(root, &included.name, seen)? {
            Some((file, text)) => {
                if seen.len() == MOST_PROFILES {
                    let most = MOST_PROFILES as u64;
                    return Err(SourceError::TooLarge { path: file, most, of: "included profiles" });
                }
                seen.insert(file.clone());
                include(root, &file.into(), &text, seen, profiles)?;
            }
            None if included.optional => {}
            None => profile.include_is_missing(&included),
        }
    }
    profiles.push(profile);
    Ok(())
}

/// The file of a profile that was not read yet: so /etc/tuned/a may include the `a` of /usr/lib/tuned.
fn find(root: &Root, name: &str, seen: &HashSet<String>) -> Result<Option<(String, String)>, SourceError> {
    if !is_name(name) {
        return Ok(None);
    }
    for directory in DIRECTORIES {
        let file = format!("{directory}/{name}/tuned.conf");
        if !seen.contains(&file)
            && let Some(text) = root.read(&file, MOST_BYTES)?
        {
            return Ok(Some((file, text)));
        }
    }
    Ok(None)
}

/// Whether TuneD takes it for the name of a profile (`profiles/loader.py`, `safe_name`).
fn is_name(name: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    !name.is_empty() && ![".", ".."].contains(&name) && name.bytes().all(known)
}
