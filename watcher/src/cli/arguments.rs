//! What can be asked of the program: its commands, their arguments and the words of `--help`. Nothing here does any of it.

use std::path::{Path, PathBuf};

use clap::{
    Parser, Subcommand, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
};
use jiff::Timestamp;

use super::{declared, init, moment};
use crate::{
    alerts::Output,
    kernel::Interfaces,
    model::{InvalidKey, Key, Kind},
    store::Filter,
};

/// Watches kernel state, compares it with what was declared, and pins every change to its commit.
#[derive(Parser)]
#[command(name = "driftd", version, propagate_version = true)]
#[command(
    after_help = "Exit codes: 0 in sync or done, 1 drift, 2 usage or configuration, 3 cannot read or reach."
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Subcommand)]
pub(super) enum Command {
    /// Watch: the daemon, in the foreground
    Run {
        #[command(flatten)]
        config: ConfigFile,
        /// How what happens is shown on standard output
        #[arg(long, value_enum, default_value_t = Format::Text)]
        output: Format,
        /// Log more to standard error, the programs in the kernel included
        #[arg(short, long)]
        verbose: bool,
        /// Log writes of keys that belong to another namespace too
        #[arg(long)]
        foreign: bool,
        /// May write: carry out `remedy: revert`, and `driftd revert`
        #[arg(long)]
        revert: bool,
    },
    /// Compare what is in force with what is declared, once, without a daemon
    Check {
        #[command(flatten)]
        config: ConfigFile,
        #[command(flatten)]
        declared: declared::Arguments,
        /// How the result is shown
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Show all that is declared for a key, what is in force, and who changed it last
    Explain {
        /// The key, in any spelling
        #[arg(value_parser = key)]
        key: Key,
        #[command(flatten)]
        config: ConfigFile,
        /// How it is shown
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Write what is expected of a key that departs, through the running daemon
    Revert {
        /// The key, in any spelling
        #[arg(value_parser = key)]
        key: Key,
        #[command(flatten)]
        config: ConfigFile,
        /// Say what would be written, and write nothing
        #[arg(long)]
        dry_run: bool,
        /// How it is shown
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Show the change to the declaring file that would make the live value of a key the declared one; or take that value
    Adopt {
        /// The key, in any spelling
        #[arg(value_parser = key)]
        key: Key,
        #[command(flatten)]
        config: ConfigFile,
        /// Expect the live value from now on, in the running daemon, until the next deployment
        #[arg(long, required_unless_present = "format", conflicts_with = "format")]
        accept: bool,
        /// Show what would have to be declared
        #[arg(long, value_enum)]
        format: Option<AdoptFormat>,
    },
    /// Look at the configuration
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Show what this host offers, what is watched how, and what would make it better
    Doctor {
        /// The configuration; without one, no probes are forced
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// How it is shown
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Show how things stand in the running daemon
    Status {
        #[command(flatten)]
        config: ConfigFile,
        /// How it is shown
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Show what was recorded, oldest first
    #[command(after_help = EVENTS_HELP)]
    Events {
        #[command(flatten)]
        config: ConfigFile,
        #[command(flatten)]
        which: Which,
        /// Go on with what is recorded from now on
        #[arg(short, long)]
        follow: bool,
        /// How many of the past
        #[arg(short = 'n', long, default_value_t = 100)]
        last: usize,
        /// How they are shown
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Make a configuration, a secret and a certificate where there are none, and say what is left to do at the sender's
    Init {
        #[command(flatten)]
        config: ConfigFile,
        #[command(flatten)]
        options: init::Options,
    },
    /// Show the values of one key over time, who wrote them, and the deployments in between
    #[command(after_help = HISTORY_HELP)]
    History {
        #[command(flatten)]
        config: ConfigFile,
        /// The key, in any of its spellings
        #[arg(value_parser = key)]
        key: Key,
        /// How many entries of the past
        #[arg(short = 'n', long, default_value_t = 100)]
        last: usize,
        /// How they are shown
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Show what was delivered, newest first; or all there is to know of one deployment
    #[command(after_help = DEPLOYMENTS_HELP)]
    Deployments {
        #[command(flatten)]
        config: ConfigFile,
        /// The beginning of a deployment's name, or of its commit
        #[arg(value_name = "ID")]
        begins: Option<String>,
        /// How many of the past
        #[arg(short = 'n', long, default_value_t = 20)]
        last: usize,
        /// How they are shown
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Look after messages to sinks
    Alerts {
        #[command(subcommand)]
        command: Alerts,
    },
    /// Hand over what was recorded
    Audit {
        #[command(subcommand)]
        command: Audit,
    },
    /// Print the completions of a shell
    #[command(after_help = COMPLETIONS_HELP)]
    Completions {
        /// Which
        shell: clap_complete::Shell,
    },
    /// Print the header that signs the body on standard input
    Sign {
        /// The file with the secret
        #[arg(long, value_name = "FILE")]
        secret: PathBuf,
    },
    /// Take the gitops-status JSON of many hosts, keep the last of each, and show all of them with their age
    #[command(after_help = HUB_HELP)]
    Hub {
        /// The configuration, with a `hub:` section
        #[arg(long, value_name = "FILE", default_value = "/etc/driftd/hub.yaml")]
        config: PathBuf,
    },
    /// Try what the webhook makes of a message
    Webhook {
        #[command(subcommand)]
        command: Webhook,
    },
}

#[derive(Subcommand)]
pub(super) enum Webhook {
    /// Say what the daemon would answer to a message, and why; nothing is sent or recorded
    Test {
        #[command(flatten)]
        config: ConfigFile,
        /// The name under `senders:`; without it the headers say who sends
        #[arg(long, value_name = "NAME")]
        sender: Option<String>,
        /// A header of the message, as `Name: value`; as often as there are headers
        #[arg(long = "header", short = 'H', value_name = "HEADER")]
        headers: Vec<String>,
        /// The file with the body
        #[arg(long, value_name = "FILE")]
        body: PathBuf,
    },
}

#[derive(Subcommand)]
pub(super) enum Alerts {
    /// Send again what was given up
    Retry {
        #[command(flatten)]
        config: ConfigFile,
        /// The name of the sink; all without it
        sink: Option<String>,
    },
}

#[derive(Subcommand)]
pub(super) enum Audit {
    /// Write all that was recorded as JSON lines, oldest first
    #[command(after_help = EXPORT_HELP)]
    Export {
        #[command(flatten)]
        config: ConfigFile,
        #[command(flatten)]
        which: Which,
    },
}

const EVENTS_HELP: &str = "Examples:
  driftd events -f                              what happens from now on, after the last 100
  driftd events --since 2h --kind finding       what opened and healed in the last two hours
  driftd events --commit c39218 --format json   all that happened under a commit, one JSON object a line";

const HISTORY_HELP: &str = "Examples:
  driftd history vm.swappiness
  driftd history /sys/class/net/eth0/mtu -n 10 --format json";

const DEPLOYMENTS_HELP: &str = "Examples:
  driftd deployments               the last twenty
  driftd deployments c39218        one, by its commit: the verdict, every declared key as it was then, what changed";

const EXPORT_HELP: &str = "Examples:
  driftd audit export > driftd.jsonl
  driftd audit export --since 2026-08-01 --until 2026-09-01 | gzip > 2026-08.jsonl.gz";

const HUB_HELP: &str = "Examples:
  driftd hub --config /etc/driftd/hub.yaml
  curl -H \"$(driftd sign --secret FILE < status.json)\" --data-binary @status.json https://hub:8444/api/status
  curl http://127.0.0.1:9758/status.json";

const COMPLETIONS_HELP: &str = "Examples:
  driftd completions bash > /usr/share/bash-completion/completions/driftd
  driftd completions zsh > /usr/share/zsh/vendor-completions/_driftd";

/// Which entries.
#[derive(clap::Args)]
pub(super) struct Which {
    /// Not before: `2h` (ago), `3d`, `2026-08-01`, `2026-08-01T10:00` in UTC, or RFC 3339
    #[arg(long, value_name = "TIME", value_parser = at)]
    since: Option<Timestamp>,
    /// Before
    #[arg(long, value_name = "TIME", value_parser = at)]
    until: Option<Timestamp>,
    /// About this key
    #[arg(long, value_name = "KEY", value_parser = key)]
    key: Option<Key>,
    /// Under a commit that begins so
    #[arg(long, value_name = "COMMIT")]
    commit: Option<String>,
    /// Of this kind; as often as there are kinds
    #[arg(long = "kind", value_name = "KIND", value_parser = kinds())]
    kinds: Vec<Kind>,
}

impl From<Which> for Filter {
    fn from(Which { since, until, key, commit, kinds }: Which) -> Filter {
        Filter { kinds, key, commit, since, until, ..Filter::default() }
    }
}

/// A key; of an interface by the name that it has in /proc and /sys, whichever of its names is given.
fn key(text: &str) -> Result<Key, InvalidKey> {
    text.parse().map(|key| Interfaces::new(Path::new("/")).by_own_name(key))
}

fn at(text: &str) -> Result<Timestamp, String> {
    moment::moment(text, Timestamp::now())
}

fn kinds() -> impl TypedValueParser<Value = Kind> {
    // The parser lets no other word through.
    PossibleValuesParser::new(Kind::words()).map(|word| Kind::of(&word).unwrap_or(Kind::Start))
}

#[derive(Subcommand)]
pub(super) enum ConfigCommand {
    /// Say everything that is wrong with it and with the sources it names, at once
    Check {
        #[command(flatten)]
        config: ConfigFile,
    },
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum AdoptFormat {
    /// A unified diff, for `patch -p1 -d /` or a commit; nothing is written
    Patch,
}

#[derive(clap::Args)]
pub(super) struct ConfigFile {
    /// The configuration [default: /etc/driftd/driftd.yaml, where there is one]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

/// The configuration where none is named.
const CONFIG: &str = "/etc/driftd/driftd.yaml";

impl ConfigFile {
    /// The file, whether it is there or not.
    pub(super) fn wanted(&self) -> PathBuf {
        self.config.clone().unwrap_or_else(|| PathBuf::from(CONFIG))
    }

    /// The file; `None` where none is named and there is none in the usual place.
    pub(super) fn path(&self) -> Option<PathBuf> {
        let usual = || Some(PathBuf::from(CONFIG)).filter(|path| path.symlink_metadata().is_ok());
        self.config.clone().or_else(usual)
    }
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Format {
    /// Lines for people
    Text,
    /// JSON
    Json,
}

impl From<Format> for Output {
    fn from(format: Format) -> Output {
        match format {
            Format::Text => Output::Text,
            Format::Json => Output::Json,
        }
    }
}
