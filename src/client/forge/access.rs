//! Who we are to a forge: a token that is read at each use, or an installation of an App.

use super::app::{self, App};
use super::http::{Http, Shown};
use crate::config::{Credential, Forge, ForgeCredential, ForgeKind};
use crate::port::{EdgeError, EdgeKind};

const NO_TOKEN: &str = "put the token there, readable for lockstep's own user only, or correct `token:` of `forge:`";

/// What is shown to a forge.
pub(super) enum Access {
    /// A token that somebody made.
    Token(Credential),
    /// An App's installation.
    App(App),
}

impl Access {
    pub(super) fn new(config: &Forge) -> Self {
        match &config.credential {
            ForgeCredential::Token(credential) => Self::Token(credential.clone()),
            ForgeCredential::App { id, installation, key } => {
                Self::App(App::new(*id, *installation, key.clone(), config.repository.name.clone()))
            }
        }
    }

    /// The credential as it is now: a token that was rotated counts at once.
    pub(super) async fn show(&self, http: &Http) -> Result<Shown, EdgeError> {
        match self {
            Self::Token(credential) => {
                let token = credential
                    .read()
                    .map_err(|cause| http.error(EdgeKind::Denied, "read the token").because(cause).hint(NO_TOKEN))?;
                match http.kind {
                    ForgeKind::GitHub => app::shown(http, &token),
                    ForgeKind::Gitea => app::bearer(http, "token", &token),
                }
            }
            Self::App(app) => app.token(http, None).await,
        }
    }

    /// Another credential in the place of one that was refused, where there can be one.
    pub(super) async fn renew(&self, http: &Http, refused: &Shown) -> Result<Option<Shown>, EdgeError> {
        match self {
            Self::Token(_) => Ok(None),
            Self::App(app) => app.token(http, Some(refused)).await.map(Some),
        }
    }
}
