//! Patterns of keys: globs inside the components of a path.

use std::fmt;

use super::{
    InvalidKey, Key, coupled, glob,
    parse::{NO_FIELD, check_component},
    sysctl::slashed,
};

/// Keys that are alike: a spelling of a key with globs (glob(7): `*`, `?`, `[…]`) in some of its components.
///
/// It means the keys that are there: which they are is looked up in the tree of files, and again when something appears.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern {
    /// As it was written.
    text: Box<str>,
    /// The path below the root of the host, by components: `proc`, `sys`, `net`, …, `*`, `rp_filter`.
    components: Box<[Box<str>]>,
    /// The field behind the colon.
    field: Option<Box<str>>,
}

impl Pattern {
    /// The sysctls a write of which may set a key that this means, as far as they do not depend on what there is.
    pub fn movers(&self) -> Vec<String> {
        let components: Vec<&str> = self.components.iter().map(|component| &**component).collect();
        match components.as_slice() {
            ["proc", "sys", "net", "ipv4" | "ipv6", "conf", interface, field] if !glob::is_glob(field) => {
                let version = components.get(3).copied().unwrap_or_default();
                coupled::movers(&format!("net/{version}/conf/{interface}/{field}"))
            }
            _ => Vec::new(),
        }
    }

    /// Whether a text means several keys.
    pub fn is_one(text: &str) -> bool {
        // Behind the colon brackets are a column, and `/proc/[pid]/stat` is a name.
        let place = text.split(':').next().unwrap_or_default();
        Pattern::is_glob(place) && !place.starts_with("/proc/[pid]/")
    }

    /// Reads a spelling with `*` in it: of a sysctl, a link, or a file below `/sys`.
    pub fn parse(text: &str) -> Result<Pattern, InvalidKey> {
        let wrong = |wanted| InvalidKey { found: text.to_owned(), wanted };
        let (place, field) = match text.split_once(':') {
            Some((_, "")) => return Err(wrong(NO_FIELD)),
            Some((place, field)) => (place, Some(field)),
            None => (text, None),
        };
        let path = if let Some(interface) = place.strip_prefix("link.").and_then(|p| p.strip_suffix(".mtu")) {
            format!("/sys/class/net/{interface}/mtu")
        } else if place.starts_with("/proc/sys/") || place.starts_with("/sys/") {
            place.to_owned()
        } else if place.starts_with('/') {
            return Err(wrong("`*` in a sysctl, in `link.*.mtu` or in a path below /sys"));
        } else {
            format!("/proc/sys/{}", slashed(place))
        };
        if field.is_some_and(|field| field.contains('*')) {
            return Err(wrong("`*` before the colon: a field is written out"));
        }
        let components: Box<[Box<str>]> = path.trim_start_matches('/').split('/').map(Box::from).collect();
        for component in &components {
            check_component(component).map_err(wrong)?;
        }
        // Above these there are directories alone.
        let least = if path.starts_with("/proc/sys/") { 4 } else { 3 };
        if components.len() < least {
            return Err(wrong(
                "`*` stands for one component: two of a sysctl, as in `vm.*`, or a path of three, `/sys/*/*`",
            ));
        }
        Ok(Pattern { text: text.into(), components, field: field.map(Into::into) })
    }

    /// The components of the path below the root of the host.
    pub fn components(&self) -> &[Box<str>] {
        &self.components
    }

    /// The key at a path below the root of the host, where it is one that can be watched.
    pub fn key_at(&self, path: &str) -> Option<Key> {
        match &self.field {
            Some(field) => format!("/{path}:{field}").parse().ok(),
            None => format!("/{path}").parse().ok(),
        }
    }

    /// Whether a key is one of those that are meant.
    pub fn means(&self, key: &Key) -> bool {
        let path = key.path();
        let path = path.trim_start_matches('/');
        self.matches(path) && self.key_at(path).as_ref() == Some(key)
    }

    /// Whether a path below the root of the host is one of those that are meant.
    pub fn matches(&self, path: &str) -> bool {
        self.all_fit(path.split('/'))
    }

    /// Whether the name of a sysctl, with `/` between its components, is one of those that are meant.
    pub fn matches_sysctl(&self, name: &str) -> bool {
        self.all_fit(["proc", "sys"].into_iter().chain(name.split('/')))
    }

    /// Whether the MTU of an interface is one of those that are meant.
    pub fn matches_link(&self, interface: &str) -> bool {
        self.all_fit(["sys", "class", "net", interface, "mtu"].into_iter())
    }

    /// Whether a component is a glob, and not a name alone.
    pub fn is_glob(component: &str) -> bool {
        glob::is_glob(component)
    }

    /// Whether a component fits a glob: `*` stands for any run of characters, also for none, `?` for one, `[…]` for
    /// one of a set; none of them for a leading dot.
    pub fn fits(glob: &str, component: &str) -> bool {
        glob::fits(glob, component)
    }

    fn all_fit<'a>(&self, mut components: impl Iterator<Item = &'a str>) -> bool {
        self.components
            .iter()
            .all(|glob| components.next().is_some_and(|component| glob::fits(glob, component)))
            && components.next().is_none()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::glob::fits, *};

    #[track_caller]
    fn check(text: &str, path: &str, key: Option<&str>) {
        let pattern = Pattern::parse(text).unwrap();
        assert_eq!(pattern.matches(path), key.is_some(), "{text} and {path}");
        if let Some(key) = key {
            assert_eq!(pattern.key_at(path).unwrap().to_string(), key);
        }
    }

    #[test]
    fn a_star_stands_for_one_component_or_a_part_of_it() {
        let rp_filter = "proc/sys/net/ipv4/conf/eth0.100/rp_filter";
        let key = Some("net.ipv4.conf.eth0/100.rp_filter");
        check("net.ipv4.conf.*.rp_filter", rp_filter, key);
        check("net/ipv4/conf/*/rp_filter", rp_filter, key);
        check("/proc/sys/net/ipv4/conf/eth*/rp_*", rp_filter, key);
        check("net.ipv4.conf.eth0/*.rp_filter", rp_filter, key);
        check("net.ipv4.*.rp_filter", rp_filter, None);
        check("net.ipv4.conf.*", rp_filter, None);
        check("link.*.mtu", "sys/class/net/eth0/mtu", Some("link.eth0.mtu"));
        let scheduler = "sys/block/sda/queue/scheduler";
        check("/sys/block/*/queue/scheduler", scheduler, Some("/sys/block/sda/queue/scheduler"));
        check("/sys/block/nvme*/queue/scheduler", scheduler, None);
        let events = "sys/fs/cgroup/system.slice/a.service/memory.events";
        check("/sys/fs/cgroup/system.slice/*/memory.events:oom", events, Some(&format!("/{events}:oom")));
        let pressure = "sys/fs/cgroup/system.slice/a.service/io.pressure";
        let averages = "/sys/fs/cgroup/system.slice/*/io.pressure:full.avg60";
        check(averages, pressure, Some(&format!("/{pressure}:full.avg60")));
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_what_was_wanted() {
        for (text, wanted) in [
            ("/proc/*/status", "in a sysctl"),
            ("/proc/meminfo:Mem*", "in a sysctl"),
            ("fs.*:[*]", "a field is written out"),
            ("net..*", "two separators"),
            ("*", "two of a sysctl"),
            ("/proc/sys/v*", "two of a sysctl"),
            ("/sys/*", "a path of three"),
            ("/sys/*/../x", "are not followed"),
        ] {
            assert!(Pattern::parse(text).unwrap_err().wanted.contains(wanted), "{text}");
        }
    }

    #[test]
    fn what_acts_when_it_is_read_is_no_key_of_a_pattern() {
        let pattern = Pattern::parse("vm.*").unwrap();
        assert!(pattern.matches("proc/sys/vm/drop_caches"));
        assert_eq!(pattern.key_at("proc/sys/vm/drop_caches"), None);
    }

    proptest! {
        #[test]
        fn a_text_fits_itself_with_any_run_replaced_by_a_star(
            text in "[a-c]{0,6}", from in 0usize..7, to in 0usize..7, other in "[a-c]{0,6}"
        ) {
            let (from, to) = (from.min(text.len()), to.min(text.len()));
            let (from, to) = (from.min(to), from.max(to));
            let glob = format!("{}*{}", &text[..from], &text[to..]);
            prop_assert!(fits(&glob, &text));
            let fitting = other.len() >= glob.len() - 1
                && other.starts_with(&text[..from])
                && other.ends_with(&text[to..]);
            prop_assert_eq!(fits(&glob, &other), fitting);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,40}", path in ".{0,40}") {
            if let Ok(pattern) = Pattern::parse(&text) {
                let _ = (pattern.matches(&path), pattern.key_at(&path));
            }
        }
    }
}
