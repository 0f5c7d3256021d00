//! What a forge's API takes, from its own description: routes, queries and bodies, and what a request has that is none of it.
//!
//! GitHub publishes an `OpenAPI` description; Gitea's is read from the types of a client that was generated from Gitea's.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value, json};

/// What is kept of GitHub's description: all of it would take seconds to read.
const WANTED: [&str; 27] = [
    "/repos/{owner}/{repo}",
    "/repos/{owner}/{repo}/branches/{branch}",
    "/repos/{owner}/{repo}/commits/{ref}/status",
    "/repos/{owner}/{repo}/hooks",
    "/repos/{owner}/{repo}/issues/comments/{comment_id}",
    "/repos/{owner}/{repo}/issues/{issue_number}/comments",
    "/repos/{owner}/{repo}/pulls",
    "/repos/{owner}/{repo}/statuses/{sha}",
    "/app",
    "/app/installations/{installation_id}/access_tokens",
    "/rate_limit",
    "/user",
    "app-permissions",
    "per-page",
    "page",
    "branch-get",
    "combined-commit-status",
    "full-repository-default-response",
    "hook-items",
    "installation-token",
    "integration",
    "issue-comment",
    "issue-comment-items",
    "private-user-response-with-public-and-private-profile-information",
    "pull-request",
    "pull-request-simple-items",
    "status",
];

/// One forge's API.
pub(crate) struct Contract {
    routes: Vec<Route>,
    schemas: BTreeMap<String, Value>,
}

/// One thing that can be asked for.
pub(crate) struct Route {
    pub(crate) method: String,
    pub(crate) template: String,
    /// What each part of the query may be.
    query: BTreeMap<String, Value>,
    body: Option<Value>,
    /// The status and the body of a good answer, where the description has one.
    pub(crate) example: Option<(u16, Value)>,
}

impl Contract {
    /// GitHub's own, or GitHub Enterprise Server's of some version.
    pub(crate) fn github(file: &str) -> Self {
        let text = published(&format!("octokit-openapi-23.0.2/generated/{file}.json"));
        let Description { paths, components } = serde_json::from_str(&text).unwrap();
        let mut routes = Vec::new();
        for (template, methods) in paths {
            for (method, operation) in methods.as_object().unwrap() {
                let resolved = |value: &Value| match value["$ref"].as_str() {
                    Some(name) => components.parameters.get(name.rsplit('/').next().unwrap()).cloned().unwrap_or_default(),
                    None => value.clone(),
                };
                let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
                let query = parameters.iter().map(resolved).filter(|parameter| parameter["in"] == "query");
                let query =
                    query.map(|parameter| (parameter["name"].as_str().unwrap().to_owned(), parameter["schema"].clone()));
                let body = &operation["requestBody"]["content"]["application/json"]["schema"];
                let example = operation["responses"].as_object().unwrap().iter().find_map(|(status, response)| {
                    let status: u16 = status.parse().ok().filter(|status| (200..300).contains(status))?;
                    let examples = response["content"]["application/json"]["examples"].as_object();
                    let example = examples.and_then(|examples| examples.values().next()).cloned().unwrap_or_default();
                    let named = example["$ref"].as_str().and_then(|name| components.examples.get(name.rsplit('/').next()?));
                    Some((status, named.map_or_else(|| example["value"].clone(), |named| named["value"].clone())))
                });
                routes.push(Route {
                    method: method.to_ascii_uppercase(),
                    template: template.clone(),
                    query: query.collect(),
                    body: (!body.is_null()).then(|| body.clone()),
                    example,
                });
            }
        }
        Self { routes, schemas: components.schemas }
    }

    /// Gitea's.
    pub(crate) fn gitea() -> Self {
        let text = published("gitea-js-1.23.0/dist/index.d.ts");
        let lines: Vec<&str> = text.lines().collect();
        let mut schemas = BTreeMap::new();
        let mut routes = Vec::new();
        for (at, line) in lines.iter().enumerate() {
            if let Some(name) = line.strip_prefix("interface ").and_then(|rest| rest.strip_suffix(" {")) {
                schemas.insert(name.to_owned(), shape(&fields(&lines[at + 1..], "    ")));
            } else if let Some(name) = line.strip_prefix("type ").and_then(|rest| rest.strip_suffix(" = string;")) {
                // Its words stand in the comment above.
                let above = lines[..at].iter().rev().skip(1).take_while(|line| !line.starts_with("/**"));
                let words: Vec<&str> = above.flat_map(|line| line.split('"').skip(1).step_by(2)).collect();
                let words = if words.is_empty() { json!({"type": "string"}) } else { json!({"type": "string", "enum": words}) };
                schemas.insert(name.to_owned(), words);
            } else if let Some(request) = line.trim().strip_prefix("* @request ") {
                let (method, template) = request.split_once(':').unwrap();
                let signature = lines[at..].iter().position(|line| line.trim() == "*/").unwrap() + at + 1;
                let first = lines[signature];
                let query =
                    if first.contains("query?: {") { fields(&lines[signature + 1..], "            ") } else { Map::new() };
                let body = first.split_once("body: ").map(|(_, rest)| rest.split([',', ')']).next().unwrap());
                let query = query.into_iter().map(|(name, schema)| (name.trim_end_matches('?').to_owned(), schema));
                routes.push(Route {
                    method: method.to_owned(),
                    template: template.to_owned(),
                    query: query.collect(),
                    body: body.map(typed),
                    example: None,
                });
            }
        }
        Self { routes, schemas }
    }

    /// The route of a request's path, which may have more than one: the one with most of its words is meant.
    pub(crate) fn route(&self, method: &str, path: &str) -> Option<&Route> {
        let asked: Vec<&str> = path.trim_matches('/').split('/').collect();
        let fits = |route: &&Route| {
            let parts: Vec<&str> = route.template.trim_matches('/').split('/').collect();
            // A branch's name may have slashes.
            let open_end = parts.last() == Some(&"{branch}") && asked.len() > parts.len();
            let plain = |(part, asked): (&&str, &&str)| part.starts_with('{') && !asked.is_empty() || part == asked;
            route.method == method && (parts.len() == asked.len() || open_end) && parts.iter().zip(&asked).all(plain)
        };
        self.routes.iter().filter(fits).min_by_key(|route| route.template.matches('{').count())
    }

    /// What a request has that the description has not.
    pub(crate) fn violations(&self, method: &str, path: &str, query: &[(String, String)], body: Option<&Value>) -> Vec<String> {
        let Some(route) = self.route(method, path) else {
            return vec![format!("{method} {path} is no route")];
        };
        let mut found = Vec::new();
        for (name, text) in query {
            match route.query.get(name) {
                None => found.push(format!("{method} {} takes no {name} in its query", route.template)),
                Some(schema) => {
                    let number = schema["type"] == "integer";
                    let value = text.parse::<u64>().ok().filter(|_| number).map_or_else(|| json!(text), |number| json!(number));
                    self.check(schema, &value, name, &mut found);
                    if matches!(name.as_str(), "per_page" | "limit")
                        && value.as_u64().is_none_or(|value| value == 0 || value > 100)
                    {
                        found.push(format!("{name} is from 1 to 100"));
                    }
                }
            }
        }
        match (&route.body, body) {
            (Some(schema), Some(body)) => self.check(schema, body, "body", &mut found),
            (Some(_), None) => found.push(format!("{method} {} has no body", route.template)),
            (None, Some(_)) => found.push(format!("{method} {} takes no body", route.template)),
            (None, None) => {}
        }
        found
    }

    fn check(&self, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
        if let Some(name) = schema["$ref"].as_str() {
            let named = self.schemas.get(name.rsplit('/').next().unwrap());
            return self.check(named.unwrap_or_else(|| panic!("{name} was not kept")), value, at, found);
        }
        if value.is_null() && schema["nullable"] == true {
            return;
        }
        let fits = match schema["type"].as_str() {
            Some("string") => value.is_string(),
            Some("integer") => value.is_u64() || value.is_i64(),
            Some("boolean") => value.is_boolean(),
            Some("array") => value.is_array(),
            Some("object") => value.is_object(),
            Some(other) => panic!("{at}: {other} is not known here"),
            None => panic!("{at}: its schema has no type"),
        };
        if !fits {
            found.push(format!("{at} is no {}", schema["type"]));
        }
        if schema["enum"].as_array().is_some_and(|allowed| !allowed.contains(value)) {
            found.push(format!("{at} is none of {}", schema["enum"]));
        }
        let longest = schema["maxLength"].as_u64().unwrap_or(u64::MAX);
        if value.as_str().is_some_and(|text| text.chars().count() as u64 > longest) {
            found.push(format!("{at} is longer than {longest}"));
        }
        for item in value.as_array().into_iter().flatten() {
            self.check(&schema["items"], item, at, found);
        }
        let Some(fields) = value.as_object() else { return };
        for (name, value) in fields {
            match schema["properties"].get(name) {
                Some(schema) => self.check(schema, value, name, found),
                None => found.push(format!("{at} has no {name}")),
            }
        }
        let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
        found.extend(required.filter(|name| !fields.contains_key(*name)).map(|name| format!("{at} lacks {name}")));
    }
}

/// The fields of an interface, or of the query in a signature; a field that may be left out keeps its `?`.
fn fields(lines: &[&str], indent: &str) -> Map<String, Value> {
    let body = lines.iter().take_while(|line| !line.trim_start().starts_with('}') || line.starts_with(indent));
    let own =
        body.filter_map(|line| line.strip_prefix(indent)).filter(|line| line.starts_with(|c: char| c.is_ascii_alphabetic()));
    own.filter_map(|line| line.strip_suffix(';')?.split_once(": ")).map(|(name, kind)| (name.to_owned(), typed(kind))).collect()
}

fn shape(fields: &Map<String, Value>) -> Value {
    let required: Vec<&String> = fields.keys().filter(|name| !name.ends_with('?')).collect();
    let properties: Map<String, Value> =
        fields.iter().map(|(name, kind)| (name.trim_end_matches('?').to_owned(), kind.clone())).collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

fn typed(kind: &str) -> Value {
    match kind {
        "string" => json!({"type": "string"}),
        "number" => json!({"type": "integer"}),
        "boolean" => json!({"type": "boolean"}),
        words if words.starts_with('\'') => {
            json!({"type": "string", "enum": words.split(" | ").map(|word| word.trim_matches('\'')).collect::<Vec<_>>()})
        }
        list if list.ends_with("[]") => json!({"type": "array", "items": typed(list.trim_end_matches("[]"))}),
        name => json!({ "$ref": name }),
    }
}

/// A file of other people's contracts.
fn published(path: &str) -> String {
    let folder = std::env::var_os("LOCKSTEP_CONTRACTS").map(PathBuf::from);
    let folder =
        folder.expect("LOCKSTEP_CONTRACTS is not set: LOCKSTEP_CONTRACTS=\"$(scripts/install-contracts)\" cargo test …");
    let path = folder.join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}; run scripts/install-contracts", path.display()))
}

#[derive(Deserialize)]
struct Description {
    #[serde(deserialize_with = "wanted")]
    paths: BTreeMap<String, Value>,
    components: Components,
}

#[derive(Deserialize)]
struct Components {
    #[serde(deserialize_with = "wanted")]
    schemas: BTreeMap<String, Value>,
    #[serde(deserialize_with = "wanted")]
    parameters: BTreeMap<String, Value>,
    #[serde(deserialize_with = "wanted")]
    examples: BTreeMap<String, Value>,
}

fn wanted<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Value>, D::Error> {
    deserializer.deserialize_map(Kept)
}

struct Kept;

impl<'de> Visitor<'de> for Kept {
    type Value = BTreeMap<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut mapping: A) -> Result<Self::Value, A::Error> {
        let mut kept = BTreeMap::new();
        while let Some(name) = mapping.next_key::<String>()? {
            if WANTED.contains(&name.as_str()) {
                kept.insert(name, mapping.next_value()?);
            } else {
                mapping.next_value::<IgnoredAny>()?;
            }
        }
        Ok(kept)
    }
}
