//! The accepted spellings of a key.

use std::str::FromStr;

use super::{InvalidKey, Key, sysctl::slashed};

/// What is wanted where the colon stands last.
pub(super) const NO_FIELD: &str = "a field's name after the colon";

const WATCHED: &str = "files below /proc/sys and /sys, /proc/meminfo:FIELD, /proc/net/dev, /proc/pressure/RESOURCE:LINE.FIELD, \
                       /proc/[pid]/stat:state=LETTER and /proc/cmdline:NAME are what can be watched";

const COUNTER: &str = "INTERFACE.COUNTER after the colon, as in `/proc/net/dev:eth0.rx_dropped`; for rx the counters are bytes, \
                       packets, errors, dropped, fifo, frame, compressed, multicast, for tx bytes, packets, errors, dropped, fifo, \
                       collisions, carrier, compressed";

/// Refuses what could leave the tree or hide in a line: empty components, `.`, `..`, white space, globs.
pub(super) fn check_components(path: &str) -> Result<(), &'static str> {
    path.split('/').try_for_each(check_component)?;
    if path.bytes().any(|byte| matches!(byte, b'*' | b'?')) {
        return Err(
            "one key, written out; `*` stands for parts of sysctls, of `link.*.mtu` and of paths below /sys",
        );
    }
    Ok(())
}

/// The same for one component, which may be a glob.
pub(super) fn check_component(component: &str) -> Result<(), &'static str> {
    match component {
        "" => Err("two separators follow each other, or one stands at an end"),
        "." | ".." => Err("`.` and `..` are not followed"),
        _ if has_blank(component) => Err("no white space or control characters"),
        _ => Ok(()),
    }
}

/// Whether a text has white space or control characters in it. There is none in what is nothing but visible ASCII, as nearly
/// every name is, and that is known without a look at what Unicode says of each character.
fn has_blank(text: &str) -> bool {
    !text.bytes().all(|byte| byte.is_ascii_graphic())
        && text.contains(|c: char| c.is_whitespace() || c.is_control())
}

impl FromStr for Key {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Key, InvalidKey> {
        let wrong = |wanted| InvalidKey { found: text.to_owned(), wanted };
        let (place, field) = match text.split_once(':') {
            Some((_, "")) => return Err(wrong(NO_FIELD)),
            Some((place, field)) => (place, Some(field)),
            None => (text, None),
        };
        if let Some(name) = place.strip_prefix("/proc/sys/") {
            return Key::new_sysctl(name.to_owned(), field, text);
        }
        if place == "/proc/meminfo" {
            let field = field.ok_or_else(|| wrong("a field, as in `/proc/meminfo:MemAvailable`"))?;
            // `Active(anon)` is a field's name too.
            if !field.bytes().all(|b| b.is_ascii_alphanumeric() || b"_()".contains(&b)) {
                return Err(wrong("a field of /proc/meminfo, as in `/proc/meminfo:MemAvailable`"));
            }
            return Ok(Key::Meminfo { field: field.into() });
        }
        if place == "/proc/net/dev" {
            let Some(field) = field else { return Ok(Key::NetDev { counter: None }) };
            return match field.rsplit_once('.') {
                Some((interface, counter))
                    if is_interface(interface) && Key::NET_DEV_COUNTERS.contains(&counter) =>
                {
                    Ok(Key::NetDev { counter: Some((interface.into(), counter.into())) })
                }
                _ => Err(wrong(COUNTER)),
            };
        }
        if let Some(resource) = place.strip_prefix("/proc/pressure/") {
            return pressure(place, resource, field)
                .ok_or_else(|| wrong("a resource and an average, as in `/proc/pressure/memory:some.avg10`"));
        }
        if place == "/proc/[pid]/stat" {
            let mut letters =
                field.and_then(|field| field.strip_prefix("state=")).unwrap_or_default().chars();
            return match (letters.next(), letters.next()) {
                (Some(state), None) if Key::PROCESS_STATES.contains(&state) => Ok(Key::Processes { state }),
                _ => Err(wrong("a state of processes, as in `/proc/[pid]/stat:state=D`")),
            };
        }
        if place == "/proc/cmdline" {
            return match field {
                Some(name) if name.contains(|c: char| c.is_whitespace() || "=\"".contains(c)) => {
                    Err(wrong("the name of a boot parameter, as in `/proc/cmdline:mitigations`"))
                }
                parameter => Ok(Key::Cmdline { parameter: parameter.map(Into::into) }),
            };
        }
        if place.starts_with('/') && !place.starts_with("/sys/") {
            return Err(wrong(WATCHED));
        }
        if let Some(path) = place.strip_prefix("/sys/") {
            check_components(path).map_err(wrong)?;
            if let Some(resource) = pressure_of_cgroup(path) {
                return pressure(place, resource, field).ok_or_else(|| {
                    wrong("an average, as in `/sys/fs/cgroup/system.slice/memory.pressure:some.avg10`")
                });
            }
            if let Some(field) = field {
                return match path.starts_with("fs/cgroup/") && is_field(field) {
                    true => Ok(Key::Sysfs { path: place.into(), field: Some(field.into()) }),
                    false => Err(wrong("a file below /sys is one value; only those of cgroups have fields")),
                };
            }
            let link = path.strip_prefix("class/net/").and_then(|p| p.strip_suffix("/mtu"));
            return match link {
                Some(interface) if is_interface(interface) => Ok(Key::Link { interface: interface.into() }),
                _ => Ok(Key::Sysfs { path: place.into(), field: None }),
            };
        }
        if let Some(interface) = place.strip_prefix("link.").and_then(|p| p.strip_suffix(".mtu")) {
            return match is_interface(interface) && field.is_none() {
                true => Ok(Key::Link { interface: interface.into() }),
                false => Err(wrong("an interface's name, as in `link.eth0.mtu`")),
            };
        }
        // Other things to watch have such names; none is a sysctl.
        if ["exec", "file", "unit"].contains(&place) {
            return Err(wrong(WATCHED));
        }
        Key::new_sysctl(slashed(place), field, text)
    }
}

/// The resource whose pressure on a cgroup a file below `/sys` has; the files of other names are none of that.
fn pressure_of_cgroup(path: &str) -> Option<&str> {
    let name = path.strip_prefix("fs/cgroup/")?.rsplit('/').next()?;
    name.strip_suffix(".pressure").filter(|resource| Key::PRESSURE_RESOURCES.contains(resource))
}

/// The pressure in a file, of `memory` and `some.avg10`, or the like.
fn pressure(file: &str, resource: &str, field: Option<&str>) -> Option<Key> {
    let (line, field) = field?.split_once('.')?;
    let known = Key::PRESSURE_RESOURCES.contains(&resource)
        && ["some", "full"].contains(&line)
        && Key::PRESSURE_FIELDS.contains(&field);
    known.then(|| Key::Pressure { file: file.into(), field: (line.into(), field.into()) })
}

/// Whether a text may be the name of a line in a flat keyed file.
fn is_field(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.()".contains(&b))
}

/// What the kernel takes as an interface's name: 1 to 127 bytes, no `/`, no `:`, no white space, not `.` or `..`
/// (`net/core/dev.c`, `dev_valid_name`; an own name has no more than 15, another one fewer than `ALTIFNAMSIZ`,
/// include/uapi/linux/if.h). A `*` or `?`, which the kernel would take, is part of a pattern here as in every
/// other key.
fn is_interface(name: &str) -> bool {
    (1..128).contains(&name.len())
        && name != "."
        && name != ".."
        && !name.bytes().any(|byte| matches!(byte, b'/' | b':' | b'*' | b'?'))
        && !has_blank(name)
}
