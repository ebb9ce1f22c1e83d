//! What is served where: one table, one match. Each answer is made here, and says to a browser what it may do with it.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue},
};
use serde::Serialize;

use super::{
    super::{
        answer::{Answer, Refused, json},
        connection::Limits,
    },
    Guard, Query, Reading,
    feed::Feed,
    guard::HEADERS,
    metrics, page,
    parameters::Parameters,
};
use crate::{
    model::{DeploymentId, Kind, Status, Summary, Watched},
    store::{DeploymentRow, Filter, FindingRow, Reader, Row, StoreError, VerdictRow},
};

/// The path of the state at a glance.
pub const STATUS: &str = "/api/v1/status";

/// The path at which messages that were given up are sent again: on the socket alone, by POST.
pub const RETRY: &str = "/api/v1/alerts/retry";

/// The path below which each deployment has its own.
const DEPLOYMENT: &str = "/api/v1/deployments/";

/// What goes back over the wire: all at once, or as it comes.
pub type Served = Response<Either<Full<Bytes>, Feed>>;

/// A page of entries.
#[derive(Serialize)]
struct Entries {
    /// Oldest first.
    entries: Vec<Row>,
    /// The `before` of the page before this one; nothing where there is none.
    before: Option<i64>,
}

#[derive(Serialize)]
struct Findings {
    findings: Vec<FindingRow>,
}

#[derive(Serialize)]
struct Deployments {
    deployments: Vec<DeploymentRow>,
}

#[derive(Serialize)]
struct Keys {
    keys: Vec<Watched>,
}

/// How many messages are sent again.
#[derive(Serialize)]
struct Requeued {
    requeued: usize,
}

/// The answer to a request. What is refused is told here.
pub async fn answer(
    reading: &Arc<Reading>,
    request: Request<Incoming>,
    guard: &Guard,
    limits: &Limits,
) -> Served {
    let mut served = match guard.admit(&request) {
        Ok(()) => route(reading, &request, limits).await,
        Err(refused) => Err(refused),
    }
    .unwrap_or_else(|refused| {
        tracing::debug!(status = refused.status.as_u16(), "nothing was read: {}", refused.reason);
        // Who reads may know why: there is no secret to guess here.
        refused.answer_openly().map(Either::Left)
    });
    served.headers_mut().extend(HEADERS.map(|(name, value)| (Some(name), value)));
    served
}

async fn route<B>(reading: &Arc<Reading>, request: &Request<B>, limits: &Limits) -> Result<Served, Refused> {
    let path = request.uri().path();
    let parameters = |known: &[&str]| Parameters::of(request.uri().query(), known);
    let whole = |answer: Answer| answer.map(Either::Left);
    Ok(match path {
        "/status.json" => {
            let wanted = parameters(&["array"])?;
            let status = reading.query(limits, Query::Status).await?;
            let summary = Summary::of(&status, &reading.server, &reading.config);
            // Rows for Grafana's Infinity, which takes an array as one row for each.
            whole(match wanted.switch("array")? {
                true => json(StatusCode::OK, &[summary]),
                false => json(StatusCode::OK, &summary),
            })
        }
        "/metrics" => {
            parameters(&[])?;
            let (status, counters) = reading.query(limits, Query::Figures).await?;
            let delivered = reading.ask(delivered).await?;
            whole(text(
                metrics::CONTENT_TYPE,
                metrics::text(&status, &counters, delivered, reading.outcomes.as_deref()),
            ))
        }
        "/healthz" => {
            parameters(&[])?;
            reading.query(limits, Query::Status).await?;
            whole(text(PLAIN, "ok\n".into()))
        }
        "/readyz" => {
            parameters(&[])?;
            whole(ready(&reading.query(limits, Query::Status).await?)?)
        }
        STATUS => {
            parameters(&[])?;
            let status = reading.query(limits, Query::Status).await?;
            // How the daemon stands is told without them, too.
            let sinks = reading.ask(Reader::sinks).await.unwrap_or_else(|refused| {
                tracing::warn!("how the sinks stand cannot be told: {}", refused.reason);
                Vec::new()
            });
            whole(json(StatusCode::OK, &Status { sinks, ..status }))
        }
        RETRY => {
            let wanted = parameters(&["sink"])?;
            let requeued = reading.requeue(limits, wanted.sink().map(Into::into)).await?;
            whole(json(StatusCode::OK, &Requeued { requeued }))
        }
        "/api/v1/keys" => {
            parameters(&[])?;
            let keys = reading.query(limits, Query::Keys).await?;
            whole(json(StatusCode::OK, &Keys { keys }))
        }
        "/api/v1/findings" => {
            let wanted = parameters(&["state", "limit"])?;
            let (state, limit) = (wanted.state()?, wanted.limit()?);
            let findings = reading.ask(move |reader| reader.findings(state, limit)).await?;
            whole(json(StatusCode::OK, &Findings { findings }))
        }
        "/api/v1/changes" => {
            let known = ["key", "commit", "since", "until", "after", "before", "limit"];
            let wanted = parameters(&known)?;
            let filter = Filter { kinds: vec![Kind::Change, Kind::Touch], ..wanted.filter()? };
            whole(json(StatusCode::OK, &entries(reading, filter, wanted.limit()?).await?))
        }
        "/api/v1/deployments" => {
            let wanted = parameters(&["begins", "limit"])?;
            let (begins, limit) = (wanted.begins().map(str::to_owned), wanted.limit()?);
            let deployments = reading.ask(move |reader| reader.deployments(begins.as_deref(), limit)).await?;
            whole(json(StatusCode::OK, &Deployments { deployments }))
        }
        "/api/v1/stream" => {
            let wanted =
                parameters(&["kinds", "key", "commit", "since", "until", "after", "before", "last"])?;
            let seen = request.headers().get("last-event-id").map(HeaderValue::to_str).transpose();
            let seen = seen.map_err(|_| Refused::bad("a `Last-Event-ID` that is no text"))?;
            let (filter, beginning) = (wanted.filter()?, wanted.beginning(seen)?);
            let place = reading.streams.clone().try_acquire_owned();
            let place = place.map_err(|_| Refused::later("as many streams are open as there may be"))?;
            let feed = Feed::open(reading.clone(), filter, beginning, place).await?;
            as_type("text/event-stream", Response::new(Either::Right(feed)))
        }
        path => match (path.strip_prefix(DEPLOYMENT), page::file(path)) {
            (Some(name), _) => {
                parameters(&[])?;
                whole(json(StatusCode::OK, &verdict(reading, name, path).await?))
            }
            (None, Some(file)) => {
                parameters(&[])?;
                whole(as_type(file.content_type, Response::new(Full::new(Bytes::from_static(file.bytes)))))
            }
            (None, None) => return Err(Refused::not_here(path)),
        },
    })
}

async fn entries(reading: &Reading, filter: Filter, limit: usize) -> Result<Entries, Refused> {
    let rows = move |reader: &Reader| match filter.after {
        Some(_) => reader.oldest(&filter, limit),
        None => reader.newest(&filter, limit),
    };
    let entries = reading.ask(rows).await?;
    let full = entries.len() == limit;
    let before = entries.first().map(|first| first.number).filter(|_| full);
    Ok(Entries { entries, before })
}

/// A deployment's verdict, with what was declared and what was in force.
async fn verdict(reading: &Reading, name: &str, path: &str) -> Result<VerdictRow, Refused> {
    let name = DeploymentId(name.into());
    let found = reading.ask(move |reader| reader.verdict(&name)).await?;
    found.ok_or_else(|| Refused::not_here(path))
}

/// When the deployment that was delivered last came into force.
fn delivered(reader: &Reader) -> Result<Option<jiff::Timestamp>, StoreError> {
    // Those after it are under way or broke off: of a hundred in a row none in force is as good as none.
    let newest = reader.deployments(None, 100)?;
    Ok(newest.into_iter().find(|deployment| deployment.in_force).and_then(|deployment| deployment.ended))
}

/// Whether all was looked at once, so that what is said of it holds.
fn ready(status: &Status) -> Result<Answer, Refused> {
    match status.last_sweep {
        Some(_) => Ok(text(PLAIN, "ready\n".into())),
        None => Err(Refused::later("not all that is declared was read yet")),
    }
}

const PLAIN: &str = "text/plain; charset=utf-8";

fn text(content_type: &'static str, text: String) -> Answer {
    as_type(content_type, Response::new(Full::new(text.into())))
}

fn as_type<B>(content_type: &'static str, mut answer: Response<B>) -> Response<B> {
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
