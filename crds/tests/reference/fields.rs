//! Tables of fields: a section for `spec`, for `status`, and for each block in them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::texts;

/// What is described elsewhere: the path's end, and where.
const ELSEWHERE: [(&str, &str); 8] = [
    (".conditions", "list of [conditions](conditions.md)"),
    (".test.reason", "a [reason](conditions.md)"),
    (".log[].reason", "a [reason](conditions.md)"),
    (".accepted.connection", "the type and its block, as in spec"),
    (".archivers[].attempts", "as [aep.status.retry](#aepstatusretry)"),
    (
        "arc.spec.resources",
        "[as in a pod](https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/)",
    ),
    (
        "arc.spec.tolerations",
        "[as in a pod](https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/)",
    ),
    ("arc.spec.affinity", "[as in a pod](https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/)"),
];

/// Writes the sections of one kind.
pub struct Fields<'a> {
    /// What was written.
    pub text: String,
    /// Each kind of text that was met, with its rules.
    seen: &'a mut BTreeMap<&'static str, String>,
}

impl<'a> Fields<'a> {
    /// Nothing yet.
    pub fn new(seen: &'a mut BTreeMap<&'static str, String>) -> Self {
        Self { text: String::new(), seen }
    }

    /// The section of the object at `path`, and those of the objects within.
    pub fn section(&mut self, path: &str, schema: &Value) {
        let (description, _) = description(schema);
        self.text.push_str(&format!("\n### {path}\n\n{description}\n{}", rules(schema)));
        self.text.push_str("\n| field | type | default | meaning |\n| --- | --- | --- | --- |\n");
        let mut within = Vec::new();
        self.rows(path, "", schema, &mut within);
        for (path, schema) in within {
            self.section(&path, &schema);
        }
    }

    /// The rows of the fields of `schema`; what has a section of its own goes to `within`.
    fn rows(&mut self, path: &str, prefix: &str, schema: &Value, within: &mut Vec<(String, Value)>) {
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            let full = format!("{path}.{name}");
            let elsewhere = ELSEWHERE.iter().find(|(end, _)| full.ends_with(end));
            let type_ = match elsewhere {
                Some((_, type_)) => (*type_).to_owned(),
                None if is_small(field) => {
                    self.rows(&full, &format!("{prefix}{name}."), &merged(schema, name, field), within);
                    continue;
                }
                None if is_small(&field["items"]) => {
                    let field = merged(schema, name, &field["items"]);
                    self.rows(&full, &format!("{prefix}{name}[]."), &field, within);
                    continue;
                }
                None => self.type_of(&full, field, within),
            };
            let default = match &field["default"] {
                Value::Null | Value::Object(_) if is_required(schema, name) => "**required**".to_owned(),
                Value::Null | Value::Object(_) => String::new(),
                Value::Array(list) if list.is_empty() => String::new(),
                Value::Array(list) => {
                    format!("`[{}]`", list.iter().map(plain).collect::<Vec<_>>().join(", "))
                }
                value => format!("`{}`", plain(value)),
            };
            let meaning = self.meaning(field);
            self.text.push_str(&format!("| `{prefix}{name}` | {type_} | {default} | {meaning} |\n"));
        }
    }

    fn type_of(&mut self, path: &str, schema: &Value, within: &mut Vec<(String, Value)>) -> String {
        if let Some(variants) = schema["enum"].as_array() {
            return variants.iter().map(|variant| format!("`{}`", plain(variant))).collect::<Vec<_>>().join(", ");
        }
        let range = |least: &str, most: &str| match (schema[least].as_i64(), schema[most].as_i64()) {
            (Some(least), Some(most)) => format!("{least} to {most}"),
            (_, most) => format!("at most {}", most.unwrap_or_default()),
        };
        match schema["type"].as_str() {
            Some("boolean") => "`true`, `false`".to_owned(),
            Some("integer") => match (schema["minimum"].as_f64(), schema["maximum"].as_f64()) {
                (Some(least), Some(most)) if least >= 0.0 => format!("number, {least} to {most}"),
                _ => "number".to_owned(),
            },
            Some("string") if schema["format"] == "date-time" => "time".to_owned(),
            Some("string") => match texts::kind(schema) {
                Some(kind) => {
                    self.seen.entry(kind).or_insert_with(|| texts::told(schema));
                    let bounds = texts::bounds(schema).map(|bounds| format!(", {bounds}")).unwrap_or_default();
                    format!("[{kind}](#{}){bounds}", kind.replace(' ', "-"))
                }
                None => format!("text, {} characters", range("minLength", "maxLength")),
            },
            Some("array") => {
                let items = self.type_of(&format!("{path}[]"), &schema["items"], within);
                format!("list ({}) of {items}", range("minItems", "maxItems"))
            }
            Some("object") if schema["additionalProperties"].is_object() => {
                let values = self.type_of(path, &schema["additionalProperties"], within);
                format!("map ({}) to {values}", range("minProperties", "maxProperties"))
            }
            _ => {
                within.push((path.to_owned(), schema.clone()));
                format!("[{path}](#{})", anchor(path))
            }
        }
    }

    /// The description with the rules that are not told by the type.
    fn meaning(&self, schema: &Value) -> String {
        let (mut meaning, _) = description(schema);
        if schema["type"] == "object" && schema["additionalProperties"].is_null() {
            return cell(&meaning);
        }
        let own = |schema: &Value| match texts::kind(schema) {
            Some(_) => Vec::new(),
            None => texts::messages(schema).map(str::to_owned).collect(),
        };
        for rule in own(schema).into_iter().chain(own(&schema["items"])) {
            meaning.push_str(&format!(" It {rule}."));
        }
        cell(&meaning)
    }
}

/// The rules of an object, as a list.
pub fn rules(schema: &Value) -> String {
    let rules: Vec<String> = texts::messages(schema).map(|rule| format!("- {rule}\n")).collect();
    if rules.is_empty() { String::new() } else { format!("\nRules:\n\n{}", rules.concat()) }
}

/// The description, and after its last line the facts that are told to `kubectl explain` alone.
pub fn description(schema: &Value) -> (String, String) {
    let text = schema["description"].as_str().unwrap_or_default();
    match text.rsplit_once('\n') {
        Some((text, facts)) if !text.ends_with('\n') => (text.to_owned(), facts.to_owned()),
        _ => (text.to_owned(), String::new()),
    }
}

/// Text for a cell of a table.
pub fn cell(text: &str) -> String {
    let escaped = text.chars().flat_map(|c| match c {
        '|' | '*' | '`' | '<' => vec!['\\', c],
        c => vec![c],
    });
    escaped.collect::<String>().replace("\n\n", "<br>")
}

/// The block `field` of a single field, which needs no section: what is said of the block is said of its field.
fn merged(schema: &Value, name: &str, field: &Value) -> Value {
    let mut merged = field.clone();
    let (outer, _) = description(&schema["properties"][name]);
    for inner in merged["properties"].as_object_mut().into_iter().flat_map(|fields| fields.values_mut()) {
        let (own, _) = description(inner);
        let rules = texts::messages(field).map(|rule| format!(" Rule: {rule}.")).collect::<String>();
        let own = if own.starts_with("The object's name") { String::new() } else { format!(" {own}") };
        inner["description"] = format!("{outer}{own}{rules}").into();
    }
    if !is_required(schema, name) {
        merged["required"] = Value::Null;
    }
    merged
}

fn is_small(schema: &Value) -> bool {
    schema["type"] == "object" && schema["properties"].as_object().is_some_and(|fields| fields.len() == 1)
}

fn is_required(schema: &Value, name: &str) -> bool {
    schema["required"].as_array().into_iter().flatten().any(|required| required == name)
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// As GitHub makes it of a heading.
fn anchor(heading: &str) -> String {
    heading.to_lowercase().replace(['.', '[', ']'], "")
}
