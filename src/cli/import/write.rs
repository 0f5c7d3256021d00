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
use crate::domain::revision::ValueDigest;

/// Where to, under which names, and without what.
#[derive(Debug, clap::Args)]
pub(super) struct Writing {
    /// The directory to make; nothing may be in it
    #[arg(long, value_name = "DIR")]
    pub(super) into: PathBuf,
    /// The repository's name, for its lockstep.yaml [default: that of the directory, or config]
    #[arg(long, value_name = "NAME", value_parser = repository)]
    name: Option<RepositoryName>,
    /// Keys to leave out: `*` stands for any characters, `/` included; may be given several times
    #[arg(long, value_name = "GLOB")]
    leave_out: Vec<String>,
}

fn repository(text: &str) -> Result<RepositoryName, String> {
    RepositoryName::parse(text).map_err(|error| error.to_string())
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
        Folder::check(&self.into)?;
        match config_repository_around(&self.into) {
            None => Ok(()),
            Some(repository) => {
                let message = format!("{} lies in the config repository {}", self.into.display(), repository.display());
                Err(Failure::new(message).hint(
                    "an import writes a whole repository: import into a new directory outside of it, and copy from there the \
                     environment's directory and the layers that it names",
                ))
            }
        }
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
        let (into, environment, name) = (self.into.clone(), environment.clone(), self.name()?);
        let written = tokio::task::spawn_blocking(move || write(&into, &name, &environment, keys, left_out)).await;
        written.map_err(|error| Failure::new("write the repository").because(&error))?
    }

    fn name(&self) -> Result<RepositoryName, Failure> {
        let of_directory = || RepositoryName::parse(&self.into.file_name()?.to_str()?.to_ascii_lowercase()).ok();
        match self.name.clone().or_else(of_directory) {
            Some(name) => Ok(name),
            None => RepositoryName::parse("config").map_err(|error| Failure::new("name the repository").because(&error)),
        }
    }
}

/// The config repository that a directory would lie in: another one inside it would be read by nobody.
fn config_repository_around(directory: &Path) -> Option<PathBuf> {
    let directory = std::path::absolute(directory).ok()?;
    directory.ancestors().skip(1).find(|place| place.join("lockstep.yaml").exists()).map(Path::to_owned)
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
    let secrets = keys.iter().filter(|(key, value)| looks_secret(key.as_str(), value)).map(|(key, _)| key.clone()).collect();
    let found = keys.iter().map(|(key, value)| (key.clone(), ValueDigest::of(value))).collect();
    let folder = Folder::begin(into)?;
    for (path, bytes) in &laid_out.files {
        folder.write(path, bytes)?;
    }
    let files = laid_out.files.len();
    // All of it is about to be in memory once more.
    drop((keys, laid_out.files));
    let tree = read_directory(folder.beside(), &TreeLimits::default())?;
    let unreadable = "what was written can't be read again, so nothing was kept";
    let state = read_environment(&tree, environment).map_err(|problems| {
        let hint = "import fewer keys at once; if their number is not what is wrong, it is a mistake of lockstep's: report it";
        Failure { problems, ..Failure::new(unreadable).hint(hint) }
    })?;
    let Some(state) = state else { return Err(Failure::new(unreadable)) };
    let compared = compare(&found, &state);
    folder.finish()?;
    Ok(Written { files, compared, left_out, secrets })
}
