//! What can be asked of the program: its commands, their arguments and the words of `--help`. Nothing here does any of it.

use std::path::{Path, PathBuf};

use clap::{
    Parser, Subcommand, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
};
use jiff::Timestamp;

use super::{declared, examples, init, moment};
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
    #[command(after_help = examples::RUN)]
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
    #[command(after_help = examples::CHECK)]
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
    #[command(after_help = examples::EXPLAIN)]
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
    #[command(after_help = examples::REVERT)]
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
    #[command(after_help = examples::ADOPT)]
    Adopt {
        /// The key, in any spelling
        #[arg(value_parser = key)]
        key: Key,
        #[command(flatten)]
        config: ConfigFile,
        /// Expect the live value from now on, in the running daemon, until the next deployment
        #[arg(long, conflicts_with = "format")]
        accept: bool,
        /// Show what would have to be declared [default: patch]
        #[arg(long, value_enum)]
        format: Option<AdoptFormat>,
    },
    /// Look at the configuration
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Show what this host offers, what is watched how, and what would make it better
    #[command(after_help = examples::DOCTOR)]
    Doctor {
        /// The configuration; without one, no probes are forced
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// How it is shown
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Show how things stand in the running daemon
    #[command(after_help = examples::STATUS)]
    Status {
        #[command(flatten)]
        config: ConfigFile,
        /// How it is shown
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Show what was recorded, oldest first
    #[command(after_help = examples::EVENTS)]
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
    #[command(after_help = examples::INIT)]
    Init {
        /// The configuration that is made
        #[arg(long, value_name = "FILE", default_value = CONFIG)]
        config: PathBuf,
        #[command(flatten)]
        options: init::Options,
    },
    /// Show the values of one key over time, who wrote them, and the deployments in between
    #[command(after_help = examples::HISTORY)]
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
    #[command(after_help = examples::DEPLOYMENTS)]
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
    #[command(after_help = examples::COMPLETIONS)]
    Completions {
        /// Which
        shell: clap_complete::Shell,
    },
    /// Print the header that signs the body on standard input
    #[command(after_help = examples::SIGN)]
    Sign {
        /// The file with the secret
        #[arg(long, value_name = "FILE")]
        secret: PathBuf,
    },
    /// Take the gitops-status JSON of many hosts, keep the last of each, and show all of them with their age
    #[command(after_help = examples::HUB)]
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
    #[command(after_help = examples::WEBHOOK_TEST)]
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
    #[command(after_help = examples::ALERTS_RETRY)]
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
    #[command(after_help = examples::EXPORT)]
    Export {
        #[command(flatten)]
        config: ConfigFile,
        #[command(flatten)]
        which: Which,
    },
}

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

impl Which {
    /// The filter.
    ///
    /// # Errors
    /// No entry can be in such a time.
    pub(super) fn filter(self) -> Result<Filter, &'static str> {
        let Which { since, until, key, commit, kinds } = self;
        if since.zip(until).is_some_and(|(since, until)| since >= until) {
            return Err("`--until` is not after `--since`, so that nothing can be between them\n\
                        hint: `2h` is two hours ago, and comes before `1h`");
        }
        Ok(Filter { kinds, key, commit, since, until, ..Filter::default() })
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
    #[command(after_help = examples::CONFIG_CHECK)]
    Check {
        #[command(flatten)]
        config: ConfigFile,
    },
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum AdoptFormat {
    /// A unified diff, for `patch -p1 -d /`, or for `git apply` where a repository declares; nothing is written
    Patch,
}

#[derive(clap::Args)]
pub(super) struct ConfigFile {
    /// The configuration [default: /etc/driftd/driftd.yaml, where there is one]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

/// The configuration where none is named.
pub(super) const CONFIG: &str = "/etc/driftd/driftd.yaml";

impl ConfigFile {
    /// The file, by a path that means the same wherever it is read: it is recorded with what the file declares. `None`
    /// where none is named and there is none in the usual place.
    pub(super) fn path(&self) -> Option<PathBuf> {
        let usual = || Some(PathBuf::from(CONFIG)).filter(|path| path.symlink_metadata().is_ok());
        // Without a working directory no file is found, which is told where it is opened.
        let whole = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        self.config.as_ref().map(whole).or_else(usual)
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
