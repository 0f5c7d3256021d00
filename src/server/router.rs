//! One router for everything that is served: what all answers have in common, and the answers to what is not there.

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::IntoResponse as _;
use tokio::time::timeout;

use super::limits::Limits;
use super::problem::Problem;

const NOT_FOUND: Problem = Problem {
    status: StatusCode::NOT_FOUND,
    code: "not-found",
    detail: "there is nothing here; docs/webhooks.md names the endpoints",
};
const METHOD: Problem = Problem {
    status: StatusCode::METHOD_NOT_ALLOWED,
    code: "method-not-allowed",
    detail: "it does not take this method; the header `allow` names those that it takes",
};
const TIME: Problem =
    Problem { status: StatusCode::REQUEST_TIMEOUT, code: "request-timeout", detail: "the answer took too long" };

/// On every answer: nothing is to be kept, embedded or taken for something else.
const HEADERS: [(HeaderName, &str); 4] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
];

/// Serves these parts, none of which has a path of another's. A part that sets one of the common headers keeps its own.
pub fn router(parts: impl IntoIterator<Item = Router>, limits: &Limits) -> Router {
    let time = limits.request_time;
    let deadline = move |request: Request, next: Next| async move {
        timeout(time, next.run(request)).await.unwrap_or_else(|_| TIME.into_response())
    };
    let whole = parts.into_iter().fold(Router::new(), Router::merge);
    whole
        .fallback(async || NOT_FOUND)
        .method_not_allowed_fallback(async || METHOD)
        .layer(middleware::from_fn(deadline))
        .layer(middleware::map_response(common))
}

async fn common<B: Send>(mut response: Response<B>) -> Response<B> {
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}
