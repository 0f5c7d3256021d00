//! Where the controller itself is reached, and whose deliveries it takes.

use std::net::SocketAddr;
use std::path::Path;

use reqwest::Url;

use super::fields::{Fields, Problems};
use super::{Credential, Server, Webhooks};

/// Rotation needs two.
const MOST_SECRETS: usize = 8;

/// Reads `server`.
pub(super) fn server(mut fields: Fields, problems: &mut Problems) -> Server {
    let listen = fields.parsed("listen", problems, |text| {
        text.parse::<SocketAddr>().map_err(|_| {
            let message = format!("{text:?} is no address with a port");
            (message, "write 127.0.0.1:8420, or 0.0.0.0:8420 to be reached from other machines".to_owned())
        })
    });
    let public_url = fields.parsed("public_url", problems, public_url);
    fields.unsupported("tokens", problems);
    fields.finish(problems);
    let default = Server::default();
    Server { listen: listen.map_or(default.listen, |given| given.value), public_url: public_url.map(|given| given.value) }
}

fn public_url(text: &str) -> Result<String, (String, String)> {
    // The text is not repeated: it may hold a password.
    let refuse = |message: &str| Err((message.to_owned(), "write https://lockstep.example".to_owned()));
    let Ok(url) = Url::parse(text) else { return refuse("it is no URL") };
    if !matches!(url.scheme(), "http" | "https") {
        return refuse("its scheme is neither http nor https");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("it holds credentials, which would end in every link");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return refuse("it has a query or a fragment");
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// Reads `webhooks`.
pub(super) fn webhooks(mut fields: Fields, base: &Path, problems: &mut Problems) -> Webhooks {
    let github = fields.section("github", problems).map(|forge| secrets(forge, base, problems)).unwrap_or_default();
    let gitea = fields.section("gitea", problems).map(|forge| secrets(forge, base, problems)).unwrap_or_default();
    fields.finish(problems);
    Webhooks { github, gitea }
}

fn secrets(mut forge: Fields, base: &Path, problems: &mut Problems) -> Vec<Credential> {
    const HINT: &str = "write secrets: [{file: PATH}], or remove the forge";
    let given = forge.credentials("secrets", base, problems);
    let mut secrets = Vec::new();
    match given {
        // No field, or `secrets:` with nothing behind it.
        None => problems.add(forge.at, format!("{} names no secret: no secret, no endpoint", forge.name), HINT),
        Some(given) if given.value.is_empty() => {
            problems.add(given.at, format!("{} is empty: no secret, no endpoint", given.name), HINT);
        }
        Some(given) if given.value.len() > MOST_SECRETS => {
            let message = format!("{} has {} secrets, {MOST_SECRETS} at most", given.name, given.value.len());
            problems.add(given.at, message, "each costs a digest of every delivery; rotation needs two");
        }
        // One that is none is a problem already.
        Some(given) => secrets.extend(given.value.into_iter().flatten()),
    }
    forge.finish(problems);
    secrets
}
