//! docs/resources.md, from the definitions and the examples.

use std::{collections::BTreeMap, fs, path::Path};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;

mod fields;
mod texts;

use fields::Fields;

const HEAD: &str = "\
# The resources

Three kinds of the API group `imarchive.dev`, version `v1alpha1`, all in the organization's namespace. This page is made from
their definitions (`make crds`); `kubectl explain aep.spec.smtp` tells the same of each field on your cluster. What their
conditions and reasons mean is in [conditions.md](conditions.md).

The API server holds every object to the rules below, and says which one is broken. An object that is older than a rule stays
as it is and works on; only what is changed must keep the rules.

| kind | short | is |
| --- | --- | --- |
";

const TAIL: &str = "
## Texts

Where the tables name one of these, the API server refuses anything else, and says so in these words.

";

/// What is said of a kind besides its description: its short name, its files of examples, and notes.
struct Kind {
    short: &'static str,
    is: &'static str,
    examples: &'static [(&'static str, &'static str)],
    notes: &'static str,
}

fn kind(name: &str) -> Kind {
    match name {
        "Archiver" => Kind {
            short: "arc",
            is: "the organization, and the data plane that takes, keeps and delivers its messages",
            examples: &[("archiver.yaml", "")],
            notes: "",
        },
        "ArchivingEndpoint" => Kind {
            short: "aep",
            is: "an archive that transcripts are delivered to",
            examples: &[
                ("endpoint.yaml", "Any mailbox that is reached over verified TLS:"),
                ("global-relay.yaml", "Global Relay:"),
                ("autonomy-drc-cm.yaml", "HP Autonomy DRC-CM:"),
            ],
            notes: "",
        },
        "UserAssignment" => Kind {
            short: "ua",
            is: "users whose messages go to an endpoint of their own",
            examples: &[("assignment.yaml", "")],
            notes: "
`kubectl apply` keeps a copy of the object in an annotation, and an annotation has at most 256 KiB: more than that, such as
2,000 addresses of over 120 characters, needs `kubectl apply --server-side -f FILE`, or `kubectl create` and `kubectl replace`.
2,000 of the longest addresses fill an object: only one field manager may then hold them (`--force-conflicts` takes them over).
",
        },
        other => panic!("nothing is said of {other}: add it here"),
    }
}

/// The whole page.
pub fn page(project: &Path) -> String {
    let definitions = imarchive_crds::definitions();
    let mut page = HEAD.to_owned();
    for definition in &definitions {
        let name = &definition.spec.names.kind;
        let kind = kind(name);
        page.push_str(&format!("| [{name}](#{}) | `{}` | {} |\n", name.to_lowercase(), kind.short, kind.is));
    }
    let mut seen = BTreeMap::new();
    for definition in &definitions {
        page.push_str(&section(definition, project, &mut seen));
    }
    page.push_str(TAIL);
    page.push_str(&texts::table(&seen));
    page
}

fn section(definition: &CustomResourceDefinition, project: &Path, seen: &mut BTreeMap<&'static str, String>) -> String {
    let names = &definition.spec.names;
    let kind = kind(&names.kind);
    let schema = serde_json::to_value(&definition.spec.versions[0]).expect("JSON");
    let schema_of = |part: &str| &schema["schema"]["openAPIV3Schema"]["properties"][part];
    let root = &schema["schema"]["openAPIV3Schema"];

    let mut text =
        format!("\n## {}\n\n{}\n{}{}", names.kind, fields::description(root).0, fields::rules(root), kind.notes);
    text.push_str(&format!("\n{}\n", columns(&schema, kind.short)));
    for (file, title) in kind.examples {
        let path = project.join("examples").join(file);
        let example = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let title = if title.is_empty() { "An example:" } else { title };
        text.push_str(&format!("\n{title}\n\n```yaml\n{}\n```\n", example.trim_end()));
    }
    let mut fields = Fields::new(seen);
    fields.section(&format!("{}.spec", kind.short), schema_of("spec"));
    fields.section(&format!("{}.status", kind.short), schema_of("status"));
    text.push_str(&fields.text);
    text
}

/// What `kubectl get` shows.
fn columns(version: &Value, short: &str) -> String {
    let columns = version["additionalPrinterColumns"].as_array().into_iter().flatten();
    let (wide, normal): (Vec<_>, Vec<_>) = columns.partition(|column| column["priority"].as_i64() > Some(0));
    let names = |columns: Vec<&Value>| {
        columns.iter().filter_map(|column| column["name"].as_str()).collect::<Vec<_>>().join(", ")
    };
    format!("`kubectl get {short}` shows {}; with `-o wide` also {}.", names(normal), names(wide))
}
