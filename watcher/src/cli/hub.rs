//! `driftd hub`: the wiring of the hub. It reads no kernel state and needs no privilege.

use anyhow::Context;
use sd_notify::NotifyState;
use tokio::sync::watch;

use super::{counted, exit};
use crate::{
    config::Config,
    daemon::{end, notify},
    http::Hub,
};

/// Serves until a signal says to stop.
///
/// # Errors
/// The secrets, the certificate, an address or the directory of what is kept cannot be had.
pub async fn run(config: &Config) -> anyhow::Result<u8> {
    let Some(settings) = &config.hub else {
        eprintln!("error: `{}` has no `hub`, so nothing is taken\nhint: docs/hub.md shows one", config.file);
        return Ok(exit::USAGE);
    };
    let hub =
        Hub::bind(settings, config.http.as_ref(), &config.state).await.context("the hub cannot start")?;
    let (url, kept) = (hub.url(), counted(hub.kept(), "status is kept", "statuses are kept"));
    match hub.page() {
        Some(page) => tracing::info!("taking statuses at {url}, showing them at {page}status.json; {kept}"),
        None => tracing::info!("taking statuses at {url}; {kept}"),
    }
    let (stop, stopped) = watch::channel(false);
    let end = end()?;
    notify(NotifyState::Ready);
    let serving = tokio::spawn(hub.serve(stopped));
    let signal = end.await;
    tracing::info!("{signal}: stopping");
    notify(NotifyState::Stopping);
    let _ = stop.send(true);
    serving.await.context("the hub broke")?;
    Ok(exit::IN_SYNC)
}
