//! Where this machine gets Debian from: reads /etc/apt, and says the same mirrors for other suites. Nothing here
//! fetches, and no host is named here.

use std::{fs, path::PathBuf};

/// Where the machine gets Debian from: for each place the mirror and the option that names its keyring.
#[derive(Debug, Default, PartialEq)]
pub struct Sources {
    archive: Vec<Mirror>,
    security: Vec<Mirror>,
}

/// A mirror, and the keyring that its lists are signed with.
#[derive(Clone, Debug, PartialEq)]
struct Mirror {
    uri: String,
    signed_by: Option<String>,
}

impl Sources {
    /// Reads /etc/apt.
    pub fn of_this_machine() -> Sources {
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let codename = release
            .lines()
            .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
            .unwrap_or("stable")
            .trim_matches('"')
            .to_owned();
        let mut sources = Sources::default();
        let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
        if let Ok(entries) = fs::read_dir("/etc/apt/sources.list.d") {
            let mut more: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
            more.sort();
            files.extend(more);
        }
        for file in files {
            let Ok(text) = fs::read_to_string(&file) else { continue };
            match file.extension().and_then(|e| e.to_str()) {
                Some("list") => sources.add_list(&text, &codename),
                Some("sources") => sources.add_stanzas(&text, &codename),
                _ => {}
            }
        }
        sources
    }

    /// Adds the Debian places of a file in the form of one line each (sources.list(5)).
    fn add_list(&mut self, text: &str, codename: &str) {
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default().trim();
            let Some(rest) = line.strip_prefix("deb ") else { continue };
            let (options, rest) = match rest.trim_start().strip_prefix('[').and_then(|r| r.split_once(']')) {
                Some((options, rest)) => (options, rest),
                None => ("", rest),
            };
            let signed_by = options.split_whitespace().find_map(|o| o.strip_prefix("signed-by="));
            let mut words = rest.split_whitespace();
            let (Some(uri), Some(suite)) = (words.next(), words.next()) else { continue };
            let components: Vec<&str> = words.collect();
            self.add(uri, suite, &components, signed_by, codename);
        }
    }

    /// Adds the Debian places of a file in the form of stanzas (sources.list(5), DEB822).
    fn add_stanzas(&mut self, text: &str, codename: &str) {
        let plain: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        for stanza in plain.split(|line| line.trim().is_empty()) {
            let field = |name: &str| {
                stanza.iter().find_map(|line| {
                    let (field, value) = line.split_once(':')?;
                    field.trim().eq_ignore_ascii_case(name).then_some(value.trim())
                })
            };
            let words = |name| field(name).unwrap_or_default().split_whitespace().collect::<Vec<_>>();
            if !words("Types").contains(&"deb") || field("Enabled").is_some_and(|v| v == "no") {
                continue;
            }
            // A keyring pasted into the stanza has no path: apt then falls back to the keys it trusts anyway.
            let signed_by = field("Signed-By").filter(|path| path.starts_with('/'));
            for uri in words("URIs") {
                for suite in words("Suites") {
                    self.add(uri, suite, &words("Components"), signed_by, codename);
                }
            }
        }
    }

    /// Adds one place if it is Debian's own archive, for the machine's own release, and not somebody else's
    /// packages for it: those have another last component of the address, or another name for `main`.
    fn add(&mut self, uri: &str, suite: &str, components: &[&str], signed_by: Option<&str>, codename: &str) {
        let last = uri.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let kind = last.strip_suffix(".list").unwrap_or(last);
        let ours = |wanted: &str| suite == wanted || suite == wanted.replacen(codename, "stable", 1);
        let list = if kind == "debian" && ours(codename) {
            &mut self.archive
        } else if kind == "debian-security" && ours(&format!("{codename}-security")) {
            &mut self.security
        } else {
            return;
        };
        let mirror = Mirror { uri: uri.to_owned(), signed_by: signed_by.map(str::to_owned) };
        if components.contains(&"main") && !list.contains(&mirror) {
            list.push(mirror);
        }
    }

    /// Whether it names no Debian archive at all.
    pub fn is_empty(&self) -> bool {
        self.archive.is_empty()
    }

    /// The text of a sources.list for other suites from the same mirrors; empty where no mirror of this machine has
    /// them. Debian keeps the suites whose names end in `-security` in a place of their own.
    pub fn list_for(&self, suites: &[String]) -> String {
        let mut text = String::new();
        for suite in suites {
            let mirrors = if suite.ends_with("-security") { &self.security } else { &self.archive };
            for Mirror { uri, signed_by } in mirrors {
                let option =
                    signed_by.as_ref().map(|path| format!("[signed-by={path}] ")).unwrap_or_default();
                text += &format!("deb {option}{uri} {suite} main\n");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

    #[test]
    fn the_mirror_of_the_machine_is_found_in_stanzas_and_others_are_left_alone() {
        let mut sources = Sources::default();
        sources.add_stanzas(
            &format!(
                "Types: deb deb-src\n# a comment\nURIs: http://mirror.test/debian/\nSuites: trixie trixie-updates\n\
                 Components: main contrib\nSigned-By: {KEYRING}\n\nTypes: deb\nURIs: mirror+file:///etc/apt/mirrors/debian-security.list\n\
                 Suites: trixie-security\nComponents: main\n\nTypes: deb\nURIs: https://other.test/linux/debian\n\
                 Suites: trixie\nComponents: stable\n\nEnabled: no\nTypes: deb\nURIs: http://off.test/debian\n\
                 Suites: trixie\nComponents: main\n"
            ),
            "trixie",
        );
        assert_eq!(
            sources.list_for(&["bookworm", "trixie-backports", "bookworm-security"].map(str::to_owned)),
            format!(
                "deb [signed-by={KEYRING}] http://mirror.test/debian/ bookworm main\n\
                 deb [signed-by={KEYRING}] http://mirror.test/debian/ trixie-backports main\n\
                 deb mirror+file:///etc/apt/mirrors/debian-security.list bookworm-security main\n"
            )
        );
    }

    #[test]
    fn the_mirror_of_the_machine_is_found_in_lines() {
        let mut sources = Sources::default();
        sources.add_list(
            &format!(
                "# deb http://off.test/debian bookworm main\ndeb-src http://mirror.test/debian bookworm main\n\
                 deb [arch=amd64 signed-by={KEYRING}] http://mirror.test/debian bookworm main non-free\n\
                 deb http://mirror.test/debian-security stable-security main # the stable one\n\
                 deb http://other.test/apt bookworm main\n"
            ),
            "bookworm",
        );
        let mirror = |uri: &str, signed_by: Option<&str>| Mirror {
            uri: uri.to_owned(),
            signed_by: signed_by.map(str::to_owned),
        };
        assert_eq!(sources.archive, [mirror("http://mirror.test/debian", Some(KEYRING))]);
        assert_eq!(sources.security, [mirror("http://mirror.test/debian-security", None)]);
    }
}
