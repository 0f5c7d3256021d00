//! The rows of the table, each with its floor or rival in the same run.

mod first_deploy;
mod one_key;
mod running;
mod drift;
mod mixed;
mod webhooks;
mod environments;
mod history;

use crate::table::Line;

/// A row: its name on the command line, and how it is measured in about so many rounds.
pub(crate) type Row = (&'static str, fn(usize) -> Vec<Line>);

/// Every row, in the order of the table.
pub(crate) const ROWS: &[Row] = &[
    ("first-deploy-10000", first_deploy::ten_thousand),
    ("first-deploy-100000", first_deploy::hundred_thousand),
    ("first-deploy-durable", first_deploy::durable),
    ("one-key", one_key::measure),
    ("running-100000", running::measure),
    ("drift", drift::measure),
    ("mixed", mixed::measure),
    ("webhooks", webhooks::measure),
    ("environments", environments::measure),
    ("long-history", history::measure),
];
