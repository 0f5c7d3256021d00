//! `GET /environments/{environment}` and `…/rollouts/{generation}`: where the links of commit statuses lead.
//!
//! A page shows what `lockstep status` and `lockstep history` show, values never. It is read from the target at each request, so any
//! controller answers for any environment of its configuration, whoever leads it.

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use maud::{DOCTYPE, Markup, html};

use super::problem::Problem;
use crate::domain::name::EnvironmentName;
use crate::domain::report::{explain, headline};
use crate::domain::revision::Generation;
use crate::domain::rollout::{HistoryLine, Rollout};
use crate::domain::shown::clean;

/// The styles, in a file of their own: nothing inline is let run or apply.
const STYLE: &str = include_str!("pages/style.css");
const STYLE_PATH: &str = "/style.css";
const POLICY: &str = "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

const UNKNOWN: Problem =
    Problem { status: StatusCode::NOT_FOUND, code: "not-found", detail: "there is no such environment or rollout here" };
const UNREADABLE: Problem = Problem {
    status: StatusCode::SERVICE_UNAVAILABLE,
    code: "not-readable",
    detail: "the environment can't be read just now; the controller's log says why",
};

/// What a page is made from.
#[derive(Debug, Clone)]
pub enum Sight {
    /// The record, and the newest lines of history, newest first.
    There(Arc<(Rollout, Vec<HistoryLine>)>),
    /// There is no such environment, or nothing of it yet.
    Missing,
    /// It can't be read now.
    Unreadable,
}

/// Reads environments for pages.
pub trait Sights: Send + Sync + 'static {
    /// How an environment stands; asked for whatever name somebody put into an address.
    fn of(&self, environment: &EnvironmentName) -> impl Future<Output = Sight> + Send;
}

/// The pages.
pub fn routes<S: Sights>(sights: Arc<S>) -> Router {
    Router::new()
        .route("/environments/{environment}", get(environment::<S>))
        .route("/environments/{environment}/rollouts/{generation}", get(rollout::<S>))
        .route(STYLE_PATH, get(async || ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE)))
        .with_state(sights)
}

async fn environment<S: Sights>(State(sights): State<Arc<S>>, Path(name): Path<String>) -> Response<axum::body::Body> {
    match look(&*sights, &name).await {
        Ok(sight) => page(&sight.0, &sight.1, None),
        Err(problem) => problem.into_response(),
    }
}

async fn rollout<S: Sights>(
    State(sights): State<Arc<S>>,
    Path((name, number)): Path<(String, String)>,
) -> Response<axum::body::Body> {
    let sight = match look(&*sights, &name).await {
        Ok(sight) => sight,
        Err(problem) => return problem.into_response(),
    };
    let generation = number.parse().ok().and_then(Generation::new);
    match generation.and_then(|generation| sight.1.iter().find(|line| line.generation == generation)) {
        Some(line) => page(&sight.0, &sight.1, Some(line)),
        None => UNKNOWN.into_response(),
    }
}

async fn look<S: Sights>(sights: &S, name: &str) -> Result<Arc<(Rollout, Vec<HistoryLine>)>, Problem> {
    let name = EnvironmentName::parse(name).map_err(|_| UNKNOWN)?;
    match sights.of(&name).await {
        Sight::There(sight) => Ok(sight),
        Sight::Missing => Err(UNKNOWN),
        Sight::Unreadable => Err(UNREADABLE),
    }
}

fn page(record: &Rollout, lines: &[HistoryLine], about: Option<&HistoryLine>) -> Response<axum::body::Body> {
    let name = record.identity.environment.as_str();
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (name) " · lockstep" }
                link rel="stylesheet" href=(STYLE_PATH);
            }
            body {
                main {
                    h1 { (name) }
                    p.phase { span class={ "phase " (record.phase.word()) } { (record.phase.word()) } " " (headline(record)) }
                    ul { @for line in explain(record) { li { (line) } } }
                    @if let Some(line) = about { (attempt(line)) }
                    (history(name, lines))
                }
            }
        }
    };
    let mut response = Response::new(axum::body::Body::from(markup.into_string()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

/// One rollout with all that history says of it.
fn attempt(line: &HistoryLine) -> Markup {
    let closed = line.closed.as_ref();
    html! {
        section {
            h2 { "Rollout " (line.generation) ": " (line.intent.word()) " to " code { (line.revision.short()) } }
            dl {
                dt { "commit" } dd { code { (line.revision) } }
                @if let Some(from) = line.from { dt { "from" } dd { code { (from) } } }
                dt { "by" } dd { (clean(&line.by)) }
                @if !line.because.is_empty() { dt { "because" } dd { (clean(&line.because)) } }
                dt { "started" } dd { (line.started) }
                dt { "outcome" } dd { (closed.map_or("under way", |closed| closed.outcome.word())) }
                @if let Some(closed) = closed {
                    dt { "ended" } dd { (closed.at) }
                    @if !closed.text.is_empty() { dt { "evidence" } dd { (clean(&closed.text)) } }
                }
            }
        }
    }
}

fn history(name: &str, lines: &[HistoryLine]) -> Markup {
    html! {
        section {
            h2 { "History" }
            table {
                thead { tr { th { "rollout" } th { "what" } th { "commit" } th { "outcome" } th { "started" } th { "by" } } }
                tbody {
                    @for line in lines {
                        tr {
                            td { a href=(format!("/environments/{name}/rollouts/{}", line.generation.number())) { (line.generation) } }
                            td { (line.intent.word()) }
                            td { code { (line.revision.short()) } }
                            td { (line.closed.as_ref().map_or("under way", |closed| closed.outcome.word())) }
                            td { (line.started) }
                            td { (clean(&line.by)) }
                        }
                    }
                }
            }
        }
    }
}
