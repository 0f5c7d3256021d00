//! The endpoints: a delivery that is accepted rings, one that is not is counted.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse as _;
use axum::routing::post;

use super::event::News;
use super::presented::Forge;
use super::receiving::receive;
use super::refusal::Refusal;
use super::refusals::Refusals;
use super::secrets::Secrets;
use crate::config::{CredentialError, Webhooks};
use crate::port::Clock;
use crate::runtime::wakes::Deliveries;
use crate::server::Limits;
use crate::telemetry::{ControllerEvent, Telemetry};

const HINT: &str = "put the secret there, readable for lockstep's own user only, or correct `webhooks:` of the configuration";

/// A secret could not be read when the server was to start.
#[derive(Debug, thiserror::Error)]
#[error("read the secrets of webhooks.{}", forge.word())]
pub struct SecretError {
    /// Whose.
    forge: Forge,
    /// Why.
    #[source]
    source: CredentialError,
}

impl SecretError {
    /// What to do.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        HINT
    }
}

/// The endpoints of the forges that have secrets.
pub struct Doors(Vec<Door>);

impl Doors {
    /// Reads every secret once: what can't be read now is a mistake of whoever starts this.
    ///
    /// # Errors
    /// When a secret can't be read.
    pub fn open(
        webhooks: Webhooks,
        limits: &Limits,
        deliveries: &Deliveries,
        telemetry: &Arc<Telemetry>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, SecretError> {
        let Webhooks { github, gitea } = webhooks;
        let doors = [(Forge::GitHub, github), (Forge::Gitea, gitea)].into_iter().filter_map(|(forge, credentials)| {
            let secrets = Secrets::at(credentials)?;
            Some(secrets.begin().map_err(|source| SecretError { forge, source }).map(|_| Door {
                forge,
                secrets,
                limits: limits.clone(),
                deliveries: deliveries.clone(),
                telemetry: Arc::clone(telemetry),
                clock: Arc::clone(clock),
                refusals: Refusals::default(),
                unreadable: Mutex::default(),
            }))
        });
        doors.collect::<Result<_, _>>().map(Self)
    }

    /// The paths that there are; none when no forge has a secret.
    #[must_use]
    pub fn paths(&self) -> Vec<String> {
        self.0.iter().map(Door::path).collect()
    }

    /// Their routes.
    pub fn routes(self) -> Router {
        self.0.into_iter().fold(Router::new(), |router, door| {
            let path = door.path();
            router.route(&path, post(deliver).with_state(Arc::new(door)))
        })
    }
}

/// One endpoint.
struct Door {
    forge: Forge,
    secrets: Secrets,
    limits: Limits,
    deliveries: Deliveries,
    telemetry: Arc<Telemetry>,
    clock: Arc<dyn Clock>,
    refusals: Refusals,
    /// Why the secrets could not be read last, as it was told.
    unreadable: Mutex<Option<String>>,
}

async fn deliver(State(door): State<Arc<Door>>, request: Request) -> Response<Body> {
    let (head, body) = request.into_parts();
    match receive(door.forge, &door.secrets, &door.limits, &head.headers, body).await {
        Ok(news) => door.accept(news),
        Err((refusal, cause)) => door.refuse(refusal, cause),
    }
}

impl Door {
    fn path(&self) -> String {
        format!("/webhooks/{}", self.forge.word())
    }

    fn accept(&self, news: News) -> Response<Body> {
        self.unreadable().take();
        self.telemetry.metrics().delivery(self.forge.word(), "accepted");
        match news {
            News::Branch => self.deliveries.branch(),
            News::Pulls => self.deliveries.pulls(),
            News::Nothing => {}
        }
        let body = "{\"status\":\"accepted\"}";
        (StatusCode::ACCEPTED, [(header::CONTENT_TYPE, "application/json")], body).into_response()
    }

    fn refuse(&self, refusal: Refusal, cause: Option<CredentialError>) -> Response<Body> {
        let (forge, problem) = (self.forge.word(), refusal.problem());
        let tells = cause.is_none() && self.refusals.is_news(refusal, self.clock.now());
        if tells {
            self.telemetry.emit_controller(&ControllerEvent::DeliveryRefused {
                forge,
                reason: problem.code,
                because: problem.detail,
            });
        } else {
            self.telemetry.metrics().delivery(forge, problem.code);
        }
        if let Some(because) = cause.and_then(|cause| self.is_news(&cause)) {
            self.telemetry.emit_controller(&ControllerEvent::SecretUnreadable { forge, because, hint: HINT });
        }
        let mut response = problem.into_response();
        if refusal.leaves_the_body() {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// The text of a cause that was not told just before.
    fn is_news(&self, cause: &CredentialError) -> Option<String> {
        let mut text = cause.to_string();
        let mut next = cause.source();
        while let Some(cause) = next {
            text = format!("{text}: {cause}");
            next = cause.source();
        }
        let mut last = self.unreadable();
        (last.as_ref() != Some(&text)).then(|| last.insert(text).clone())
    }

    fn unreadable(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.unreadable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
