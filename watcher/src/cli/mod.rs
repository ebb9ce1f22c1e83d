//! The commands: one file each. Arguments in, exit code out.

mod adopt;
mod alerts;
mod arguments;
mod check;
mod config_check;
mod declared;
mod deployments;
mod doctor;
mod events;
mod examples;
mod explain;
mod export;
mod history;
mod hub;
mod init;
mod moment;
mod remedy;
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
use clap::{CommandFactory, Parser};
use jiff::Timestamp;
use tracing::Level;
use tracing_subscriber::{filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

use self::{
    arguments::{AdoptFormat, Alerts, Arguments, Audit, Command, ConfigCommand, ConfigFile, Webhook, Which},
    screen::Screen,
};
use crate::{
    alerts::clean,
    config::{self, Config},
    daemon,
    store::{Filter, Reader},
};

/// Exit codes of every command.
pub mod exit {
    /// What was asked for was done; for `check`, `status` and `explain`: all that is declared is in force.
    pub const IN_SYNC: u8 = 0;
    /// For `check`, `status` and `explain`: something that is declared is not in force.
    pub const DRIFT: u8 = 1;
    /// The arguments or the configuration are wrong.
    pub const USAGE: u8 = 2;
    /// Something that is needed cannot be read, reached or had.
    pub const UNREACHABLE: u8 = 3;
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
        eprintln!("error: {}", cleaned(&words(&error)));
        exit::UNREACHABLE
    }))
}

fn run(command: Command) -> anyhow::Result<u8> {
    match command {
        Command::Run { config, output, verbose, foreign, revert } => {
            let path = config.path();
            let Some(config) = load(&config) else { return Ok(exit::USAGE) };
            let options = daemon::Options { config: path, output: output.into(), verbose, foreign, revert };
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
        Command::Revert { key, config, dry_run, format } => {
            let Some(socket) = socket(&config) else { return Ok(exit::USAGE) };
            let asked = remedy::revert(&socket, &key, dry_run, format.into(), io::stdout());
            runtime()?.block_on(asked)
        }
        Command::Adopt { key, config, accept: true, .. } => {
            let Some(socket) = socket(&config) else { return Ok(exit::USAGE) };
            runtime()?.block_on(remedy::accept(&socket, &key, io::stdout()))
        }
        Command::Adopt { key, config, accept: false, format: Some(AdoptFormat::Patch) | None } => {
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
            let Some(socket) = socket(&config) else { return Ok(exit::USAGE) };
            runtime()?.block_on(status::run(&socket, format.into(), Screen::stdout(), io::stdout()))
        }
        Command::Events { config, which, follow, last, format } => {
            let Some(filter) = filter(which) else { return Ok(exit::USAGE) };
            let Some(state) = state(&config) else { return Ok(exit::USAGE) };
            let asked = events::Asked { filter, last, follow };
            events::run(&state, asked, format.into(), Screen::stdout(), io::stdout().lock())
        }
        Command::History { config, key, last, format } => {
            let Some(state) = state(&config) else { return Ok(exit::USAGE) };
            let store = store(&state)?;
            history::run(&store, &key, last, format.into(), Screen::stdout(), io::stdout().lock())
        }
        Command::Deployments { config, begins, last, format } => {
            let Some(state) = state(&config) else { return Ok(exit::USAGE) };
            let (store, begins) = (store(&state)?, begins.as_deref());
            deployments::run(&store, begins, last, format.into(), Screen::stdout(), io::stdout().lock())
        }
        Command::Alerts { command: Alerts::Retry { config, sink } } => {
            let Some(socket) = socket(&config) else { return Ok(exit::USAGE) };
            let file = config.path();
            let retried = alerts::retry(&socket, sink.as_deref(), file.as_deref(), io::stdout());
            runtime()?.block_on(retried)
        }
        Command::Audit { command: Audit::Export { config, which } } => {
            let Some(filter) = filter(which) else { return Ok(exit::USAGE) };
            let Some(state) = state(&config) else { return Ok(exit::USAGE) };
            export::run(&store(&state)?, filter, BufWriter::new(io::stdout().lock()))
        }
        Command::Completions { shell } => {
            // Into memory first: it panics where a reader goes away.
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "driftd", &mut text);
            io::stdout().lock().write_all(&text)?;
            Ok(exit::IN_SYNC)
        }
        Command::Init { config, options } => init::run(&config, &options, io::stdout().lock()),
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
            eprintln!("error: {}", cleaned(&error.to_string()));
            None
        }
    }
}

/// Where the daemon answers; `None` where the file cannot be read, and that was shown. It may have mistakes by now: that
/// is when the daemon is asked.
fn socket(file: &ConfigFile) -> Option<PathBuf> {
    let Some(path) = file.path() else { return Some(config::without_file().socket) };
    taken(&path, "the daemon is asked at", config::socket_of(&path))
}

/// Where the store is; `None` where the file cannot be read, and that was shown. What was recorded can be looked at whatever
/// mistakes the file has by now: that is when it is asked for.
fn state(file: &ConfigFile) -> Option<PathBuf> {
    let Some(path) = file.path() else { return Some(config::without_file().state) };
    taken(&path, "the store is read in", config::state_of(&path))
}

/// The place that was found; `None` where the file could not be read, and that was shown. Where the file may name another one,
/// that is said: an empty store of another daemon would look like a quiet host.
fn taken(file: &Path, what: &str, found: Result<config::Place, config::ConfigError>) -> Option<PathBuf> {
    let shown = |error: &config::ConfigError| eprintln!("error: {}", cleaned(&error.to_string()));
    let config::Place { path, is_doubtful } = found.inspect_err(shown).ok()?;
    if is_doubtful {
        let (file, path) = (clean(&file.display().to_string()), clean(&path.display().to_string()));
        eprintln!(
            "warning: `{file}` does not say where, by a mistake: {what} `{path}`\n\
             hint: `driftd config check --config {file}` shows the mistake"
        );
    }
    Some(path)
}

/// The filter that is asked for; `None` where nothing can pass it, and that was shown.
fn filter(which: Which) -> Option<Filter> {
    which.filter().inspect_err(|why| eprintln!("error: {why}")).ok()
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

/// A text of several lines, each without characters that could move the cursor.
fn cleaned(text: &str) -> String {
    text.lines().map(clean).collect::<Vec<_>>().join("\n")
}

/// A text in a sentence, where there is nothing in it to be seen.
fn or_empty(text: &str) -> &str {
    if text.is_empty() { "empty" } else { text }
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
