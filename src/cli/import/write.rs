//! Writing what was gathered as a new repository, and reading it again with the format's own parser before it is in its place.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cli::error::Failure;
use crate::client::folder::Folder;
use crate::client::git::{TreeLimits, read_directory};
use crate::domain::desired::read_environment;
use crate::domain::import::{Compared, Gathering, LeftOut, MOST_BYTES, MOST_KEYS, Pattern, compare, lay_out, looks_secret};
use crate::domain::name::{EnvironmentName, KeyPath, RepositoryName};

/// Where to, under which names, and without what.
#[derive(Debug, clap::Args)]
pub(super) struct Writing {
    /// The directory to make; nothing may be in it
    #[arg(long, value_name = "DIR")]
    pub(super) into: PathBuf,
    /// The repository's name, for its lockstep.yaml [default: that of the directory, or config]
    #[arg(long, value_name = "NAME", value_parser = |text: &str| RepositoryName::parse(text).map_err(|error| error.to_string()))]
    name: Option<RepositoryName>,
    /// Keys to leave out: `*` stands for any characters, `/` included; may be given several times
    #[arg(long, value_name = "GLOB")]
    leave_out: Vec<String>,
}

/// What was written.
pub(super) struct Written {
    /// How many files.
    pub(super) files: usize,
    /// What was read again against what was found.
    pub(super) compared: Compared,
    /// What is not in it.
    pub(super) left_out: Vec<LeftOut>,
    /// Keys that look as if they held a secret.
    pub(super) secrets: Vec<KeyPath>,
}

impl Writing {
    /// Refuses a place that can't be written to before anything is read.
    pub(super) fn check(&self) -> Result<(), Failure> {
        Ok(Folder::check(&self.into)?)
    }

    /// Nothing gathered yet.
    pub(super) fn gathering(&self) -> Gathering {
        Gathering::new(self.leave_out.iter().map(|text| Pattern::new(text)).collect())
    }

    /// Writes the repository.
    pub(super) async fn write(&self, environment: &EnvironmentName, gathering: Gathering) -> Result<Written, Failure> {
        if gathering.is_too_much() {
            let message = format!("there are more than {MOST_KEYS} keys, or more than {} MiB of values", MOST_BYTES >> 20);
            return Err(Failure::new(message).hint(
                "one repository can't hold them: import some prefixes now and others into another one, or --leave-out some",
            ));
        }
        let (keys, left_out) = gathering.into_parts();
        if keys.is_empty() {
            return Err(Failure::new("there is no key to write").hint(nothing(&left_out)));
        }
        let (into, environment, name) = (self.into.clone(), environment.clone(), self.name());
        let written = tokio::task::spawn_blocking(move || write(&into, &name, &environment, keys, left_out)).await;
        written.map_err(|error| Failure::new("write the repository").because(&error))?
    }

    fn name(&self) -> RepositoryName {
        let of_directory = || RepositoryName::parse(&self.into.file_name()?.to_str()?.to_ascii_lowercase()).ok();
        let name = self.name.clone().or_else(of_directory).or_else(|| RepositoryName::parse("config").ok());
        name.unwrap_or_else(|| unreachable!("config is a name"))
    }
}

/// What may be wrong when nothing is left to write.
fn nothing(left_out: &[LeftOut]) -> String {
    match left_out.first() {
        None => "are the prefixes right? `consul kv get -keys -recurse` shows what is there".to_owned(),
        Some(LeftOut { key, reason }) => format!("{key:?} was left out, for one: {}", reason.why()),
    }
}

fn write(
    into: &Path,
    name: &RepositoryName,
    environment: &EnvironmentName,
    mut keys: BTreeMap<KeyPath, Arc<[u8]>>,
    mut left_out: Vec<LeftOut>,
) -> Result<Written, Failure> {
    let laid_out = lay_out(name, environment, &keys);
    for left in &laid_out.left_out {
        keys.remove(left.key.as_str());
    }
    left_out.extend(laid_out.left_out);
    left_out.sort();
    let folder = Folder::begin(into)?;
    for (path, bytes) in &laid_out.files {
        folder.write(path, bytes)?;
    }
    let tree = read_directory(folder.beside(), &TreeLimits::default())?;
    let state = read_environment(&tree, environment).map_err(|problems| Failure {
        problems,
        ..Failure::new("what was written can't be read again, so nothing was kept")
            .hint("this is a mistake of lockstep's: report it")
    })?;
    let Some(state) = state else {
        return Err(Failure::new(format!("what was written has no environment {environment}, so nothing was kept")));
    };
    let compared = compare(&keys, &state);
    let secrets = keys.iter().filter(|(key, value)| looks_secret(key.as_str(), value)).map(|(key, _)| key.clone()).collect();
    folder.finish()?;
    Ok(Written { files: laid_out.files.len(), compared, left_out, secrets })
}
