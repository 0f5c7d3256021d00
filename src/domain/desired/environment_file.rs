//! `environments/NAME/environment.yaml`: the layers, variables and rules of one environment.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::environment::{DeleteLimits, DriftPolicy, Environment, Policy, RolloutPolicy};
use crate::domain::name::EnvironmentName;

use super::fields::{Field, Fields};
use super::problem::{FileProblems, Place, quoted};
use super::variables::{LARGEST_VARIABLE, MOST_VARIABLES, has_reference, is_name};
use super::yaml;

/// The file's name in the environment's directory.
pub const FILE: &str = "environment.yaml";
/// The directory of all environments.
pub const ENVIRONMENTS: &str = "environments";

/// The most layers of one environment.
const MOST_LAYERS: usize = 64;
const WHAT: &str = "environment.yaml";
/// The longest that any of its durations may be: a week.
const WEEK: Duration = Duration::from_hours(7 * 24);

/// What the file says.
#[derive(Debug)]
pub(super) struct EnvironmentFile {
    /// The environment.
    pub(super) environment: Environment,
    /// Where each of its layers is named.
    pub(super) layer_places: Vec<Place>,
    /// Where its former name stands.
    pub(super) formerly_place: Option<Place>,
}

/// Reads the file as far as it can be read: with what is beside a problem, more problems can be found.
pub(super) fn read(name: &EnvironmentName, bytes: &[u8], problems: &mut FileProblems) -> Option<EnvironmentFile> {
    let root = yaml::read(bytes, problems)?;
    let mut fields = Fields::of(&root, WHAT, problems)?;
    let layers = fields.take("layers").map(|field| layers(field, problems)).unwrap_or_default();
    let variables = fields.take("variables").map(|field| variables(field, problems)).unwrap_or_default();
    let policy = Policy {
        rollout: fields.take("rollout").map(|field| rollout(field, problems)).unwrap_or_default(),
        deletes: fields.take("deletes").map(|field| deletes(field, problems)).unwrap_or_default(),
        drift: fields
            .take("drift")
            .and_then(|field| field.word(&[("correct", DriftPolicy::Correct), ("report", DriftPolicy::Report)], problems))
            .unwrap_or_default(),
    };
    let formerly = fields.take("formerly");
    let formerly_place = formerly.map(Field::place);
    let formerly = formerly.and_then(|field| former_name(field, name, problems));
    fields.refuse_unsupported(&["promotion", "windows", "versions"], problems);
    fields.finish(WHAT, problems);
    let (layers, layer_places) = layers.into_iter().unzip();
    Some(EnvironmentFile {
        environment: Environment { name: name.clone(), layers, variables, policy, formerly },
        layer_places,
        formerly_place,
    })
}

fn former_name(field: Field<'_>, name: &EnvironmentName, problems: &mut FileProblems) -> Option<EnvironmentName> {
    let former = field.parsed(EnvironmentName::parse, problems)?;
    if former != *name {
        return Some(former);
    }
    let hint = "it is the name that the environment had before; leave it out where there was none";
    problems.report_with_hint(field.place(), format!("{former} is the environment's own name"), hint);
    None
}

fn layers(field: Field<'_>, problems: &mut FileProblems) -> Vec<(String, Place)> {
    let mut layers: Vec<(String, Place)> = Vec::new();
    for (layer, place) in field.texts(problems).unwrap_or_default() {
        if layers.len() == MOST_LAYERS {
            problems.report(place, format!("there are more than {MOST_LAYERS} layers"));
            break;
        }
        if let Err(problem) = check_layer(layer) {
            let hint = "a layer is a directory of this repository, such as base or layers/web";
            problems.report_with_hint(place, format!("the layer {} {problem}", quoted(layer)), hint);
        } else if layers.iter().any(|(earlier, _)| earlier == layer) {
            problems.report_with_hint(place, format!("the layer {} is named twice", quoted(layer)), "remove one of the two");
        } else {
            layers.push((layer.to_owned(), place));
        }
    }
    layers
}

fn check_layer(layer: &str) -> Result<(), &'static str> {
    if layer.is_empty() || layer.len() > 255 {
        return Err("must be 1 to 255 bytes");
    }
    if layer.chars().any(|c| c.is_control() || c == '\\') {
        return Err("contains a control character or a backslash");
    }
    if layer.split('/').any(|segment| segment.is_empty() || segment.starts_with('.')) {
        return Err("has an empty segment or one that begins with '.'");
    }
    if layer.split('/').next() == Some(ENVIRONMENTS) {
        return Err("lies below environments/, whose directories belong to one environment each");
    }
    Ok(())
}

fn variables(field: Field<'_>, problems: &mut FileProblems) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    for (name, (value, place)) in field.text_map(problems).unwrap_or_default() {
        if variables.len() == MOST_VARIABLES {
            problems.report(place, format!("there are more than {MOST_VARIABLES} variables"));
            break;
        }
        if !is_name(name) {
            let message = format!("{} can't be a variable's name", quoted(name));
            problems.report_with_hint(
                place,
                message,
                "begin with a letter or '_', go on with letters, digits, '_' and '-'; lockstep is taken",
            );
        } else if value.len() > LARGEST_VARIABLE {
            problems.report(place, format!("the variable {name} has {} bytes; {LARGEST_VARIABLE} is the limit", value.len()));
        } else if has_reference(value) {
            let message = format!("the variable {name} refers to another: variables do not nest");
            problems.report_with_hint(place, message, "write the text out");
        }
        // Kept even so, or every use of it would be reported as unknown.
        variables.insert(name.to_owned(), value.to_owned());
    }
    variables
}

fn rollout(field: Field<'_>, problems: &mut FileProblems) -> RolloutPolicy {
    let default = RolloutPolicy::default();
    let Some(mut fields) = Fields::of(field.node, "rollout", problems) else { return default };
    let before = problems.count();
    let any = Duration::ZERO..=WEEK;
    let some = Duration::from_millis(1)..=WEEK;
    let policy = RolloutPolicy {
        apply_deadline: fields
            .take("apply_deadline")
            .and_then(|field| field.duration(&some, problems))
            .unwrap_or(default.apply_deadline),
        settle: fields.take("settle").and_then(|field| field.duration(&any, problems)),
        min_healthy_time: fields
            .take("min_healthy_time")
            .and_then(|field| field.duration(&any, problems))
            .unwrap_or(default.min_healthy_time),
        healthy_deadline: fields
            .take("healthy_deadline")
            .and_then(|field| field.duration(&some, problems))
            .unwrap_or(default.healthy_deadline),
        fail_after: fields
            .take("fail_after")
            .and_then(|field| field.number(&(1..=1000), problems))
            .unwrap_or(default.fail_after),
        auto_revert: fields
            .take("auto_revert")
            .and_then(|field| field.word(&[("true", true), ("false", false)], problems))
            .unwrap_or(default.auto_revert),
    };
    // The default of `settle` depends on the target; what is wrong on every target can be said here. Where a field has a
    // problem of its own, the default in its place is nobody's wish.
    let sound = problems.count() == before;
    if let Some(message) = policy.deadline_problem(Duration::ZERO).filter(|_| sound) {
        let named = ["healthy_deadline", "min_healthy_time", "settle"].map(|name| fields.take(name));
        let place = named.into_iter().flatten().next().map_or(fields.place(), Field::place);
        problems.report_with_hint(place, message, DEADLINE_HINT);
    }
    fields.finish("rollout", problems);
    policy
}

/// What to do about a deadline that can't be met.
pub(super) const DEADLINE_HINT: &str =
    "raise healthy_deadline, or lower settle or min_healthy_time: health could never be proven";

fn deletes(field: Field<'_>, problems: &mut FileProblems) -> DeleteLimits {
    let default = DeleteLimits::default();
    let Some(mut fields) = Fields::of(field.node, "deletes", problems) else { return default };
    let limits = DeleteLimits {
        at_most: fields.take("at_most").and_then(|field| field.number(&(0..=u32::MAX), problems)).unwrap_or(default.at_most),
        at_most_percent: fields
            .take("at_most_percent")
            .and_then(|field| field.number(&(0..=100), problems))
            .unwrap_or(default.at_most_percent),
    };
    fields.finish("deletes", problems);
    limits
}
