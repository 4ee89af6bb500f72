//! The CustomResourceDefinitions, as a cluster is given them.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;
use serde_json::{Value, json};

use crate::{Archiver, ArchivingEndpoint, UserAssignment};

/// The bounds of what has none of its own: Kubernetes' types, which are bounded by an object's size alone. Far above what
/// is put there, but finite: the API server must know what a rule may cost, and no status may outgrow its object.
const LONGEST_STRING: i64 = 32_768;
const LONGEST_QUANTITY: i64 = 64;
const LONGEST_LIST: i64 = 1000;
const LARGEST_MAP: i64 = 250;

/// The three definitions.
pub fn definitions() -> [CustomResourceDefinition; 3] {
    [Archiver::crd(), ArchivingEndpoint::crd(), UserAssignment::crd()].map(|mut definition| {
        for schema in schemas(&mut definition) {
            each(schema, &mut tidy);
            let mut parts = schema.properties.take().unwrap_or_default();
            if let Some(spec) = parts.get_mut("spec") {
                each(spec, &mut tell);
            }
            if let Some(status) = parts.get_mut("status") {
                // Written by programs that know the rules: one that is broken could only keep a status from being told.
                each(status, &mut |schema| schema.x_kubernetes_validations = None);
                // A fresh object has generation 1: with 0 or nothing here, a kstatus reader could take it for current.
                status.default = Some(JSON(json!({"observedGeneration": -1})));
            }
            schema.properties = Some(parts);
            each(schema, &mut bound);
        }
        definition
    })
}

fn schemas(definition: &mut CustomResourceDefinition) -> impl Iterator<Item = &mut JSONSchemaProps> {
    let schemas = definition.spec.versions.iter_mut().filter_map(|version| version.schema.as_mut());
    schemas.filter_map(|schema| schema.open_api_v3_schema.as_mut())
}

/// Shows `visit` the schema and all within.
fn each(schema: &mut JSONSchemaProps, visit: &mut impl FnMut(&mut JSONSchemaProps)) {
    visit(schema);
    for property in schema.properties.iter_mut().flat_map(|properties| properties.values_mut()) {
        each(property, visit);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        each(items, visit);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        each(values, visit);
    }
}

/// Puts the default, the bounds and the rules under the description, on a line of their own: `kubectl explain` shows
/// nothing else of them.
fn tell(schema: &mut JSONSchemaProps) {
    let facts = facts(schema);
    if let Some(description) = schema.description.as_mut().filter(|_| !facts.is_empty()) {
        description.push('\n');
        description.push_str(&facts);
    }
}

fn facts(schema: &JSONSchemaProps) -> String {
    let mut facts = Vec::new();
    match &schema.default {
        None | Some(JSON(Value::Object(_))) => {}
        Some(JSON(Value::String(text))) => facts.push(format!("Default: {text}.")),
        Some(JSON(Value::Array(list))) if list.is_empty() => {}
        Some(JSON(Value::Array(list))) => {
            let texts: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
            facts.push(format!("Default: [{}].", texts.join(", ")));
        }
        Some(JSON(value)) => facts.push(format!("Default: {value}.")),
    }
    if let (Some(least), Some(most)) = (schema.minimum, schema.maximum) {
        facts.push(format!("From {least} to {most}."));
    }
    match (schema.min_items, schema.max_items) {
        (Some(least), Some(most)) => facts.push(format!("{least} to {most} of them.")),
        (None, Some(most)) => facts.push(format!("At most {most} of them.")),
        _ => {}
    }
    let rules = schema.x_kubernetes_validations.iter().flatten().filter_map(|rule| rule.message.as_deref());
    facts.extend(rules.map(sentence));
    facts.join(" ")
}

fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", characters.as_str())
}

/// Takes off what Rust's types and comments bring along and a cluster has no use for.
fn tidy(schema: &mut JSONSchemaProps) {
    // Without it, null is the same as leaving a field out, its default included.
    schema.nullable = None;
    if schema.x_kubernetes_int_or_string == Some(true) {
        schema.description = Some("A quantity of Kubernetes, such as 500m, 2 or 1Gi.".to_owned());
    }
    // Wherever a comment's lines end, `kubectl explain` breaks them anew.
    if let Some(description) = &mut schema.description {
        let paragraphs = description.split("\n\n").map(|paragraph| paragraph.lines().collect::<Vec<_>>().join(" "));
        *description = paragraphs.collect::<Vec<_>>().join("\n\n");
    }
}

/// Bounds what has no bounds.
fn bound(schema: &mut JSONSchemaProps) {
    let of_any_length = schema.enum_.is_none() && schema.format.is_none();
    match schema.type_.as_deref() {
        Some("string") if of_any_length => _ = schema.max_length.get_or_insert(LONGEST_STRING),
        None if schema.x_kubernetes_int_or_string == Some(true) => {
            schema.max_length.get_or_insert(LONGEST_QUANTITY);
        }
        Some("array") => _ = schema.max_items.get_or_insert(LONGEST_LIST),
        Some("object") if schema.additional_properties.is_some() => {
            schema.max_properties.get_or_insert(LARGEST_MAP);
        }
        // The API server does not look at the format, and what is larger could not be read.
        Some("integer") if schema.format.as_deref() == Some("int32") => {
            schema.minimum.get_or_insert(i32::MIN.into());
            schema.maximum.get_or_insert(i32::MAX.into());
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The paths under `path` that nothing bounds.
    fn unbounded(path: &str, schema: &JSONSchemaProps, found: &mut Vec<String>) {
        let string =
            schema.max_length.is_some() || schema.enum_.is_some() || schema.format.as_deref() == Some("date-time");
        let number =
            schema.format.as_deref() == Some("int64") || (schema.minimum.is_some() && schema.maximum.is_some());
        let bounded = match schema.type_.as_deref() {
            Some("string") => string,
            None => schema.x_kubernetes_int_or_string == Some(true) && string,
            Some("integer") => number,
            Some("boolean") => true,
            Some("array") => schema.max_items.is_some() && schema.items.is_some(),
            Some("object") => match schema.additional_properties {
                Some(JSONSchemaPropsOrBool::Schema(_)) => schema.max_properties.is_some(),
                Some(JSONSchemaPropsOrBool::Bool(_)) => false,
                None => schema.x_kubernetes_preserve_unknown_fields.is_none(),
            },
            Some(_) => false,
        };
        if !bounded {
            found.push(path.to_owned());
        }
        for (name, property) in schema.properties.iter().flatten() {
            unbounded(&format!("{path}.{name}"), property, found);
        }
        if let Some(JSONSchemaPropsOrArray::Schema(items)) = &schema.items {
            unbounded(&format!("{path}[]"), items, found);
        }
        if let Some(JSONSchemaPropsOrBool::Schema(values)) = &schema.additional_properties {
            unbounded(&format!("{path}[*]"), values, found);
        }
    }

    #[test]
    fn every_string_number_list_and_map_is_bounded() {
        let mut found = Vec::new();
        for mut definition in definitions() {
            let kind = definition.spec.names.kind.clone();
            schemas(&mut definition).for_each(|schema| unbounded(&kind, schema, &mut found));
        }
        assert!(found.is_empty(), "no bounds: {found:#?}");
    }

    #[test]
    fn every_field_is_described() {
        let mut found = Vec::new();
        for mut definition in definitions() {
            for schema in schemas(&mut definition) {
                each(schema, &mut |schema| {
                    let fields = schema.properties.iter().flatten();
                    let silent =
                        fields.filter(|(_, field)| field.description.as_deref().unwrap_or_default().is_empty());
                    // Those of all objects are described by the API server.
                    let silent =
                        silent.filter(|(name, _)| !["apiVersion", "kind", "metadata"].contains(&name.as_str()));
                    found.extend(silent.map(|(name, _)| name.clone()));
                });
            }
        }
        assert!(found.is_empty(), "nothing is said of {found:?}");
    }

    #[test]
    fn no_rule_hinders_a_status() {
        for mut definition in definitions() {
            let name = definition.spec.names.kind.clone();
            for schema in schemas(&mut definition) {
                let status = schema.properties.as_mut().and_then(|parts| parts.get_mut("status"));
                each(status.expect("a status"), &mut |schema| {
                    assert!(schema.x_kubernetes_validations.is_none() && schema.pattern.is_none(), "{name}");
                });
            }
        }
    }

    #[test]
    fn explain_tells_default_bounds_and_rules() {
        let mut told = Vec::new();
        for mut definition in definitions() {
            schemas(&mut definition).for_each(|schema| each(schema, &mut |part| told.extend(part.description.clone())));
        }
        let tells = |text: &str| told.iter().any(|description| description.contains(text));
        assert!(tells("\nDefault: 8h. Must be a duration from 1s to 24h"));
        assert!(tells("\nDefault: 50. From 1 to 50."));
        assert!(tells("\nDefault: [1h, 2h, 4h, 8h]. At most 16 of them."));
    }
}
