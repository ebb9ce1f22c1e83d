//! The file as a whole: its fields, their defaults and limits. Only [`load`] reads anything.

use std::{
    fs::{File, Metadata},
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::geteuid;

use super::{
    alerts::{Alerts, alerts},
    contradiction, declared, duration,
    http::{Http, http},
    hub::{Hub, hub},
    kilobytes,
    node::{self, Entry, Node, Tree},
    problem::{Problems, Wrong},
    rules, scalar, secret, sources,
    webhook::{Webhook, webhook},
};
use crate::{
    declared::{Line, Request, sysctl::Applier},
    model::{Probes, Remedy, Retention, Rule},
};

/// The configuration, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The name of the file, as sources have it.
    pub file: Box<str>,
    /// The directory of the store (`state:`).
    pub state: PathBuf,
    /// The Unix socket of the daemon (`socket:`).
    pub socket: PathBuf,
    /// The listener for deployments (`webhook:`); none where the section is absent.
    pub webhook: Option<Webhook>,
    /// The listener for reading (`http:`); none where the section is absent.
    pub http: Option<Http>,
    /// The listener of `driftd hub` (`hub:`); none where the section is absent.
    pub hub: Option<Hub>,
    /// The sinks outside the daemon (`alerts:`).
    pub alerts: Alerts,
    /// Which probes are used (`probes:`).
    pub probes: Probes,
    /// How often every declared key is re-read (`sweep:`).
    pub sweep: Duration,
    /// The size of the ring buffer in bytes (`ring:`): a power of two. The kernel wants whole pages; on hosts
    /// whose pages are larger than 4096 bytes that is for the loader to see.
    pub ring: u32,
    /// How long a deploy window stays open without a word (`deploy_timeout:`).
    pub deploy_timeout: Duration,
    /// How long what was recorded is kept (`retention:`).
    pub retention: Retention,
    /// The rules (`drift_rules:`), in the order of the file.
    pub rules: Vec<Rule>,
    /// The sources that declare keys (`declared_from:`), the later one winning. The host's own sysctl.d, where the file
    /// names neither rules nor sources nor values.
    pub declared_from: Vec<Request>,
    /// The keys and values of the file itself (`declared:`), after all sources.
    pub declared: Vec<Line>,
    /// What is worth a word at start and is no mistake.
    pub warnings: Vec<String>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read `{}`: {source}\nhint: {}", path.display(), read_hint(source))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is larger than any configuration is.
    #[error("found more than {MAX_FILE} bytes in `{}`, wanted a configuration\nhint: name the right file", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file is no text.
    #[error(
        "found the byte 0x{byte:02x} at {}:{line}:{column}, wanted UTF-8 text\n\
         hint: convert the file, as with `iconv -t UTF-8`",
        path.display()
    )]
    NotText {
        /// The file.
        path: PathBuf,
        /// The line of the byte, counted from 1.
        line: usize,
        /// Its column, in characters counted from 1.
        column: usize,
        /// The first byte that no UTF-8 text has in this place.
        byte: u8,
    },
    /// The file lets driftd write, and others may say what.
    #[error(
        "`{0}` has a remedy in it, and others than root, or the user of driftd, may write to it\n\
         hint: `chown root {0} && chmod go-w {0}`",
        path.display()
    )]
    Shared {
        /// The file.
        path: PathBuf,
    },
    /// The file has mistakes.
    #[error(transparent)]
    Problems(#[from] Problems),
}

/// The most bytes a configuration may have: 10,000 rules fit, and a wrong file is refused at once.
pub const MAX_FILE: usize = 1 << 20;

fn read_hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "name a file that exists; an empty one means all defaults",
        io::ErrorKind::PermissionDenied => "run as the user that may read it, usually root",
        _ => "name a regular file",
    }
}

/// Reads and checks a file.
///
/// # Errors
/// The file cannot be read, is too large, is no text, or has mistakes: then all of them.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let (text, owned) = read(path)?;
    let config = parse(&path.display().to_string(), &text)?;
    match !owned && config.rules.iter().any(|rule| rule.remedy != Remedy::Notify) {
        true => Err(ConfigError::Shared { path: path.to_owned() }),
        false => Ok(config),
    }
}

/// A place that a file names, whatever mistakes there are in it by now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The place; the usual one where the file does not say it.
    pub path: PathBuf,
    /// Whether the file may name another: it is no YAML, or what it says there is no such place.
    pub is_doubtful: bool,
}

/// Where the daemon of a file answers, whatever mistakes there are in it by now: the daemon goes on with what stood there
/// before. Where the file does not say it, at the usual place.
///
/// # Errors
/// The file cannot be read, is too large or is no text.
pub fn socket_of(path: &Path) -> Result<Place, ConfigError> {
    place_of(path, "socket", socket, Config::default().socket)
}

/// Where the store of a file is, whatever mistakes there are in it by now. Where the file does not say it, at the usual place.
///
/// # Errors
/// As [`socket_of`].
pub fn state_of(path: &Path) -> Result<Place, ConfigError> {
    let state = |entry: &Entry, problems: &mut Problems| scalar::path(&entry.value, problems);
    place_of(path, "state", state, Config::default().state)
}

/// One field of a file, whatever mistakes there are in the others.
fn place_of(
    path: &Path,
    name: &str,
    field: impl Fn(&Entry, &mut Problems) -> Option<PathBuf>,
    usual: PathBuf,
) -> Result<Place, ConfigError> {
    let (text, _owned) = read(path)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut unasked = Problems::new(&path.display().to_string(), text);
    let entries = match node::parse(text, &mut unasked).map(|node| node.tree) {
        Some(Tree::Map(entries)) => entries,
        Some(Tree::Nothing) => Vec::new(),
        Some(Tree::Scalar(_) | Tree::List(_)) | None => {
            return Ok(Place { path: usual, is_doubtful: true });
        }
    };
    let Some(said) = entries.iter().find(|entry| &*entry.name.text == name) else {
        return Ok(Place { path: usual, is_doubtful: false });
    };
    let said = field(said, &mut unasked);
    Ok(Place { is_doubtful: said.is_none(), path: said.unwrap_or(usual) })
}

/// The text of a file, and whether nobody but its owner may write to it.
fn read(path: &Path) -> Result<(String, bool), ConfigError> {
    let mut bytes = Vec::new();
    let unread = |source| ConfigError::Read { path: path.to_owned(), source };
    let file = open(path).map_err(unread)?;
    let owned = file.metadata().map(|found| is_owned(&found)).map_err(unread)?;
    // One byte more than allowed tells a file that is too large from one that just fits.
    file.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes).map_err(unread)?;
    if bytes.len() > MAX_FILE {
        return Err(ConfigError::TooLarge { path: path.to_owned() });
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let bytes = error.into_bytes();
        let (good, bad) = bytes.split_at(valid);
        let good = String::from_utf8_lossy(good);
        ConfigError::NotText {
            path: path.to_owned(),
            line: good.matches('\n').count() + 1,
            column: good.chars().rev().take_while(|c| *c != '\n').count() + 1,
            byte: bad.first().copied().unwrap_or_default(),
        }
    })?;
    Ok((text, owned))
}

/// Whether nobody but root, or the user who runs this, may write to a file.
fn is_owned(found: &Metadata) -> bool {
    (found.uid() == 0 || found.uid() == geteuid().as_raw()) && found.mode() & 0o022 == 0
}

/// Opens a file, and nothing that reading might never end of: without `O_NONBLOCK` opening a FIFO waits for a writer.
fn open(path: &Path) -> io::Result<File> {
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is no file")),
    }
}

pub(super) const FIELDS: [&str; 14] = [
    "state",
    "socket",
    "webhook",
    "http",
    "hub",
    "alerts",
    "probes",
    "sweep",
    "ring",
    "deploy_timeout",
    "retention",
    "drift_rules",
    "declared_from",
    "declared",
];

/// The fields that say what is declared.
const DECLARING: [&str; 3] = ["drift_rules", "declared_from", "declared"];

/// The configuration of a host that has none.
pub fn without_file() -> Config {
    let mut config = Config::default();
    no_declaration(&mut config);
    config
}

impl Config {
    /// Whether a sender may say which value is right.
    pub fn may_declare(&self) -> bool {
        self.webhook.iter().flat_map(|webhook| &webhook.credentials).any(|credential| credential.declared)
    }
}

impl Default for Config {
    fn default() -> Config {
        Config {
            file: "".into(),
            state: "/var/lib/driftd".into(),
            socket: "/run/driftd/driftd.sock".into(),
            webhook: None,
            http: None,
            hub: None,
            alerts: Alerts::default(),
            probes: Probes::default(),
            sweep: Duration::from_secs(60),
            ring: DEFAULT_RING,
            // Longer than a rollout step takes, short enough that a lost `finished` does not hide drift for a shift.
            deploy_timeout: Duration::from_secs(15 * 60),
            retention: Retention::default(),
            rules: Vec::new(),
            declared_from: Vec::new(),
            declared: Vec::new(),
            warnings: Vec::new(),
        }
    }
}

/// Where nothing is declared, the host's own sysctl.d is.
fn no_declaration(config: &mut Config) {
    config.declared_from.push(Request::Host(Applier::Systemd));
    config.warnings.push("nothing is declared here: the host's own sysctl.d is what is compared".into());
}

/// Checks a text; `file` is the name it is shown under.
///
/// # Errors
/// All mistakes at once.
pub fn parse(file: &str, text: &str) -> Result<Config, Problems> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut problems = Problems::new(file, text);
    let mut config = Config { file: file.into(), ..Config::default() };
    let mut declares = false;
    match node::parse(text, &mut problems) {
        None => problems.without_tree(),
        Some(Node { tree: Tree::Nothing, .. }) => {}
        Some(Node { tree: Tree::Map(entries), .. }) => {
            declares = entries.iter().any(|entry| DECLARING.contains(&&*entry.name.text));
            for entry in entries {
                // Rules have names of the user's own, and no secrets.
                if &*entry.name.text != "drift_rules" {
                    secret::hide(std::slice::from_ref(&entry), &mut problems);
                }
                field(entry, &mut config, &mut problems);
            }
        }
        Some(node) => {
            let hint = format!("at the top stand {}", super::problem::listed(FIELDS));
            problems.push(node.span, node.described(), Wrong::new("a map").hint(hint));
        }
    }
    if !declares {
        no_declaration(&mut config);
    } else if config.rules.is_empty() && config.declared_from.is_empty() && config.declared.is_empty() {
        config.warnings.push("nothing is declared: nothing is compared".into());
    }
    config.warnings.extend(rules::moving(&config.rules));
    config.warnings.extend(kilobytes::in_kilobytes(&config.rules, &config.declared));
    config.warnings.extend(contradiction::contradictions(&config.rules));
    problems.or(config)
}

/// Takes one field of the top level. A field with a mistake leaves its default: the mistake is what is told.
fn field(entry: Entry<'_>, config: &mut Config, problems: &mut Problems) {
    const SECOND: Duration = Duration::from_secs(1);
    let node = &entry.value;
    match &*entry.name.text {
        "state" => config.state = scalar::path(node, problems).unwrap_or_default(),
        "socket" => config.socket = socket(&entry, problems).unwrap_or_default(),
        "webhook" => config.webhook = webhook(&entry, problems),
        "http" => config.http = http(&entry, problems),
        "hub" => config.hub = hub(&entry, problems),
        "alerts" => config.alerts = alerts(&entry, problems),
        "probes" => config.probes = scalar::choice(node, &PROBES, problems).unwrap_or_default(),
        "sweep" | "deploy_timeout" => {
            let read = |text: &str| duration::at_least(SECOND, text);
            let duration = scalar::value(node, duration::WANTED, problems, read).unwrap_or_default();
            match &*entry.name.text {
                "sweep" => config.sweep = duration,
                _ => config.deploy_timeout = duration,
            }
        }
        "ring" => config.ring = scalar::value(node, RING, problems, ring).unwrap_or_default(),
        "retention" => config.retention = retention(&entry, problems),
        "declared_from" => config.declared_from = sources::declared_from(node, problems),
        "declared" => {
            let file = problems.file();
            config.declared = declared::map(node, &file, &file, problems);
        }
        "drift_rules" => config.rules = rules::rules(entry.value, problems),
        _ => secret::unknown(&entry, "a field of the configuration", &FIELDS, problems),
    }
}

const PROBES: [(&str, Probes); 6] = [
    ("auto", Probes::Auto),
    ("kprobe", Probes::Kprobe),
    ("fexit", Probes::Fexit),
    ("cgroup", Probes::Cgroup),
    ("netlink", Probes::Netlink),
    ("none", Probes::None),
];

/// The path of the socket, no longer than the kernel's `sockaddr_un` holds with its final zero (unix(7)).
fn socket(entry: &Entry, problems: &mut Problems) -> Option<PathBuf> {
    const MOST: usize = 107;
    let path = scalar::path(&entry.value, problems)?;
    let length = path.as_os_str().len();
    if length > MOST {
        let wrong =
            Wrong::new(format!("at most {MOST}")).hint("the kernel takes no longer name for a socket");
        problems.push(entry.value.span, format!("a path of {length} bytes"), wrong);
        return None;
    }
    Some(path)
}

/// How long what was recorded is kept: `age:` and `size:`, each with its default.
fn retention(entry: &Entry, problems: &mut Problems) -> Retention {
    const FIELDS: [&str; 2] = ["age", "size"];
    const SIZE: &str = "a size of at least `16MiB`, such as `1GiB`";
    let mut retention = Retention::default();
    let Tree::Map(entries) = &entry.value.tree else {
        let hint = format!("below it stand {}", super::problem::listed(FIELDS));
        problems.push(entry.value.span, entry.value.described(), Wrong::new("a map").hint(hint));
        return retention;
    };
    for entry in entries {
        let node = &entry.value;
        match &*entry.name.text {
            "age" => {
                let read = |text: &str| duration::at_least(Duration::from_secs(60), text);
                retention.age = scalar::value(node, duration::WANTED, problems, read).unwrap_or_default();
            }
            "size" => {
                // Less than this an empty store and one flood hardly fit.
                let read = |text: &str| {
                    let bytes = scalar::quantity(text)
                        .map_err(|wrong| Wrong { wanted: SIZE.into(), ..wrong })?
                        .whole();
                    let bytes = bytes.and_then(|bytes| u64::try_from(bytes).ok());
                    bytes.filter(|bytes| *bytes >= 16 << 20).ok_or_else(|| Wrong::new(SIZE))
                };
                retention.size = scalar::value(node, SIZE, problems, read).unwrap_or_default();
            }
            _ => scalar::unknown(&entry.name, "a field of `retention`", &FIELDS, problems),
        }
    }
    retention
}

const RING: &str = "a power of two from `4KiB` to `64MiB`";

/// The size of the ring where the configuration does not say, in bytes.
pub const DEFAULT_RING: u32 = 1 << 20;

/// The size of the ring: what `BPF_MAP_TYPE_RINGBUF` takes (kernel `kernel/bpf/ringbuf.c`, `ringbuf_map_alloc`), and no more
/// locked memory than a small daemon may ask for.
fn ring(text: &str) -> Result<u32, Wrong> {
    let bytes = scalar::quantity(text).map_err(|wrong| Wrong { wanted: RING.into(), ..wrong })?.whole();
    bytes
        .and_then(|bytes| u32::try_from(bytes).ok())
        .filter(|bytes| bytes.is_power_of_two() && (4096..=64 << 20).contains(bytes))
        .ok_or_else(|| Wrong::new(RING))
}
