//! Where log lines go and what they look like: standard error, for people or as JSON.

use std::str::FromStr;

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// What a log line looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// A line of text; in colour where a terminal reads it and `NO_COLOR` is not set.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "human" => Ok(Self::Human),
            "json" => Ok(Self::Json),
            other => Err(format!("{other:?} is no log format: human or json")),
        }
    }
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The filter is malformed.
    #[error("read the log filter {filter:?}, which is written like info or lockstep=debug,hyper=warn")]
    Filter {
        /// The filter.
        filter: String,
        /// What is wrong with it.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// This process logs already.
    #[error("set logging up a second time")]
    Twice(
        /// What says so.
        #[source]
        tracing_subscriber::util::TryInitError,
    ),
}

/// Sends the process's log lines to standard error, from now on. `filter` is what `RUST_LOG` would hold, such as `info`.
///
/// # Errors
/// When the filter is malformed, or logging was set up before.
pub fn init(format: LogFormat, filter: &str) -> Result<(), SetupError> {
    let colour = anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never;
    subscriber(format, filter, colour, std::io::stderr)?.try_init().map_err(SetupError::Twice)
}

/// What [`init`] sets up, writing to wherever the caller says.
///
/// # Errors
/// When the filter is malformed.
pub fn subscriber<W>(
    format: LogFormat,
    filter: &str,
    colour: bool,
    writer: W,
) -> Result<Box<dyn Subscriber + Send + Sync>, SetupError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder()
        .parse(filter)
        .map_err(|source| SetupError::Filter { filter: filter.chars().take(200).collect(), source })?;
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    Ok(match format {
        LogFormat::Human => Box::new(registry.with(layer.with_ansi(colour).with_target(false))),
        LogFormat::Json => Box::new(registry.with(layer.json().flatten_event(true).with_current_span(false))),
    })
}
