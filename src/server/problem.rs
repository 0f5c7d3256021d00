//! An answer that says what was wrong: for people, and with a stable code for programs (RFC 9457).

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use serde_json::json;

/// Why a request was not carried out. Nothing of the request is repeated in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Problem {
    /// The HTTP status.
    pub status: StatusCode,
    /// Stable, for programs.
    pub code: &'static str,
    /// For people: what was wrong, and what to do.
    pub detail: &'static str,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let Self { status, code, detail } = self;
        let title = status.canonical_reason().unwrap_or_default();
        let text = json!({"title": title, "status": status.as_u16(), "code": code, "detail": detail}).to_string();
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response
    }
}
