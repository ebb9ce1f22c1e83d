//! The commands: one file each. Arguments in, exit code out.

mod adopt;
mod check;
mod config_check;
mod declared;
mod deployments;
mod doctor;
mod events;
mod explain;
mod export;
mod history;
mod hub;
mod init;
mod moment;
mod screen;
mod sign;
mod status;
#[cfg(test)]
mod tests;
mod webhook;

use std::{
    io::{self, BufWriter, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::{
    CommandFactory, Parser, Subcommand, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
};
use jiff::Timestamp;
use tracing::Level;
use tracing_subscriber::{filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

use self::screen::Screen;
use crate::{
    alerts::Output,
    config::{self, Config},
    daemon,
    model::{Key, Kind},
    store::{Filter, Reader},
};

/// Exit codes of every command.
pub mod exit {
    /// What was asked for was done; for `check` and `status`: all that is declared is in force.
    pub const IN_SYNC: u8 = 0;
    /// For `check` and `status`: something that is declared is not in force.
    pub const DRIFT: u8 = 1;
    /// The arguments or the configuration are wrong.
    pub const USAGE: u8 = 2;
    /// Something that is needed cannot be read, reached or had.
    pub const UNREACHABLE: u8 = 3;
}

/// Watches kernel state, compares it with what was declared, and pins every change to its commit.
#[derive(Parser)]
#[command(name = "driftd", version, propagate_version = true)]
#[command(
    after_help = "Exit codes: 0 in sync or done, 1 drift, 2 usage or configuration, 3 cannot read or reach."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
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
        key: Key,
        #[command(flatten)]
        config: ConfigFile,
        /// How it is shown
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Show the change to the declaring file that would make the live value of a key the declared one
    Adopt {
        /// The key, in any spelling
        key: Key,
        #[command(flatten)]
        config: ConfigFile,
        /// How it is shown
        #[arg(long, value_enum)]
        format: AdoptFormat,
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
enum Webhook {
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
enum Audit {
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
struct Which {
    /// Not before: `2h` (ago), `3d`, `2026-08-01`, `2026-08-01T10:00` in UTC, or RFC 3339
    #[arg(long, value_name = "TIME", value_parser = at)]
    since: Option<Timestamp>,
    /// Before
    #[arg(long, value_name = "TIME", value_parser = at)]
    until: Option<Timestamp>,
    /// About this key
    #[arg(long, value_name = "KEY")]
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

fn at(text: &str) -> Result<Timestamp, String> {
    moment::moment(text, Timestamp::now())
}

fn kinds() -> impl TypedValueParser<Value = Kind> {
    PossibleValuesParser::new(Kind::ALL.map(Kind::as_str)).map(|word| {
        // The parser lets no other word through.
        Kind::ALL.into_iter().find(|kind| kind.as_str() == word).unwrap_or(Kind::Start)
    })
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Say everything that is wrong with it and with the sources it names, at once
    Check {
        #[command(flatten)]
        config: ConfigFile,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum AdoptFormat {
    /// A unified diff, for `patch -p1 -d /` or a commit; nothing is written
    Patch,
}

#[derive(clap::Args)]
struct ConfigFile {
    /// The configuration [default: /etc/driftd/driftd.yaml, where there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// The configuration where none is named.
const CONFIG: &str = "/etc/driftd/driftd.yaml";

impl ConfigFile {
    /// The file, whether it is there or not.
    fn wanted(&self) -> PathBuf {
        self.config.clone().unwrap_or_else(|| PathBuf::from(CONFIG))
    }

    /// The file; `None` where none is named and there is none in the usual place.
    fn path(&self) -> Option<PathBuf> {
        let usual = || Some(PathBuf::from(CONFIG)).filter(|path| path.symlink_metadata().is_ok());
        self.config.clone().or_else(usual)
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
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

/// Runs the command of the process's arguments.
pub fn main() -> ExitCode {
    // A mistake in the arguments ends the process here, with code 2.
    let Arguments { command } = Arguments::parse();
    log(matches!(command, Command::Run { verbose: true, .. }));
    ExitCode::from(run(command).unwrap_or_else(|error| {
        // Whoever read the output has seen enough.
        if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
            return exit::IN_SYNC;
        }
        eprintln!("error: {}", words(&error));
        exit::UNREACHABLE
    }))
}

fn run(command: Command) -> anyhow::Result<u8> {
    match command {
        Command::Run { config, output, verbose, foreign } => {
            let path = config.path();
            let Some(config) = load(&config) else { return Ok(exit::USAGE) };
            let options = daemon::Options { config: path, output: output.into(), verbose, foreign };
            let runtime = runtime()?;
            let ran = runtime.block_on(daemon::run(config, options));
            // A reading that hangs ends with the process.
            runtime.shutdown_background();
            ran.map(|()| exit::IN_SYNC)
        }
        Command::Check { declared, format, .. } if declared.is_asked_for() => {
            declared::run(&declared, format.into(), io::stdout().lock())
        }
        Command::Check { config, format, .. } => {
            let Some(config) = load(&config) else { return Ok(exit::USAGE) };
            check::run(config, format.into(), io::stdout().lock())
        }
        Command::Explain { key, config, format } => {
            let Some(config) = load(&config) else { return Ok(exit::USAGE) };
            explain::run(config, &key, format.into(), io::stdout().lock())
        }
        Command::Adopt { key, config, format: AdoptFormat::Patch } => {
            let path = config.path();
            let Some(config) = load(&config) else { return Ok(exit::USAGE) };
            adopt::run(config, path.as_deref(), &key, io::stdout().lock())
        }
        Command::Config { command: ConfigCommand::Check { config } } => {
            let Some(config) = load(&config) else { return Ok(exit::USAGE) };
            config_check::run(config, io::stdout().lock())
        }
        Command::Doctor { config, format } => {
            let config = match config.map(|config| load(&ConfigFile { config: Some(config) })) {
                Some(None) => return Ok(exit::USAGE),
                config => config.flatten(),
            };
            doctor::run(config.as_ref(), format.into(), io::stdout().lock())
        }
        Command::Status { config, format } => {
            let Some(config) = load(&config) else { return Ok(exit::USAGE) };
            runtime()?.block_on(status::run(&config.socket, format.into(), Screen::stdout(), io::stdout()))
        }
        Command::Events { config, which, follow, last, format } => {
            let Some(config) = load(&config) else { return Ok(exit::USAGE) };
            let asked = events::Asked { filter: which.into(), last, follow };
            events::run(&config.state, asked, format.into(), Screen::stdout(), io::stdout().lock())
        }
        Command::History { config, key, last, format } => {
            let Some(config) = load(&config) else { return Ok(exit::USAGE) };
            let store = store(&config.state)?;
            history::run(&store, &key, last, format.into(), Screen::stdout(), io::stdout().lock())
        }
        Command::Deployments { config, begins, last, format } => {
            let Some(config) = load(&config) else { return Ok(exit::USAGE) };
            let (store, begins) = (store(&config.state)?, begins.as_deref());
            deployments::run(&store, begins, last, format.into(), Screen::stdout(), io::stdout().lock())
        }
        Command::Audit { command: Audit::Export { config, which } } => {
            let Some(config) = load(&config) else { return Ok(exit::USAGE) };
            export::run(&store(&config.state)?, which.into(), BufWriter::new(io::stdout().lock()))
        }
        Command::Completions { shell } => {
            // Into memory first: it panics where a reader goes away.
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "driftd", &mut text);
            io::stdout().lock().write_all(&text)?;
            Ok(exit::IN_SYNC)
        }
        Command::Init { config, options } => init::run(&config.wanted(), &options, io::stdout().lock()),
        Command::Hub { config } => {
            let config = ConfigFile { config: Some(config) };
            let Some(config) = load(&config) else { return Ok(exit::USAGE) };
            runtime()?.block_on(hub::run(&config))
        }
        Command::Sign { secret } => {
            sign::run(&secret, io::stdin().lock(), io::stdout().lock())?;
            Ok(exit::IN_SYNC)
        }
        Command::Webhook { command: Webhook::Test { config, sender, headers, body } } => {
            let Some(config) = load(&config) else { return Ok(exit::USAGE) };
            let message = webhook::Message { sender: sender.as_deref(), headers: &headers, body: &body };
            webhook::test(config.webhook.as_ref(), &message, Timestamp::now(), io::stdout().lock())
        }
    }
}

/// The configuration; `None` where it is wrong, and every mistake was shown.
fn load(file: &ConfigFile) -> Option<Config> {
    let Some(path) = file.path() else { return Some(config::without_file()) };
    match config::load(&path) {
        Ok(config) => Some(config),
        Err(config::ConfigError::Problems(problems)) => {
            eprintln!("{}", problems.render(io::stderr().is_terminal()));
            None
        }
        Err(error) => {
            eprintln!("error: {error}");
            None
        }
    }
}

/// The store, for reading.
fn store(state: &Path) -> anyhow::Result<Reader> {
    Reader::open(state)?.with_context(|| {
        format!(
            "there is no store in `{}`\nhint: `driftd run` makes it; name its configuration by --config",
            state.display()
        )
    })
}

/// How many of something there are.
fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// A time as people read it.
fn seconds(time: Timestamp) -> String {
    time.strftime("%FT%TZ").to_string()
}

/// One thread: what waits, waits in the kernel.
fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// The log goes to standard error; standard output is for what happened.
fn log(verbose: bool) {
    let ours = if verbose { Level::DEBUG } else { Level::INFO };
    // `watcher` is the daemon, `watcher_ebpf` the programs in the kernel.
    let targets = Targets::new().with_default(Level::WARN).with_target("watcher", ours);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_target(false)
        .with_ansi(io::stderr().is_terminal());
    tracing_subscriber::registry().with(lines).with(targets).init();
}

/// An error and what caused it, each cause after a colon; hints keep their own line.
fn words(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        // Some errors say their cause themselves.
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}
