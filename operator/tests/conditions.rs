//! `docs/conditions.md` explains every reason.

use std::{env, fs, path::Path};

use imarchive_crds::{ConditionType, Reason};
use operator::status::{
    ConditionReason,
    reason::{ARCHIVER, ASSIGNMENT, ENDPOINT, KUBERNETES},
};
use serde_json::{Value, json};

const MENDED_BY: &str = "REGENERATE=1 cargo test --release --workspace --test conditions";

/// A table: what stands between the marks of `name` in the page.
struct Table {
    name: &'static str,
    text: String,
}

fn row(cells: &[&str]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

fn row_of(reason: &str, cells: &[&str]) -> String {
    format!("| `{reason}` {}", row(cells))
}

fn own(name: &'static str, belongs: impl Fn(&[&str]) -> bool) -> Table {
    let reasons = ConditionReason::OWN.iter().filter(|reason| belongs(reason.kinds()));
    let rows = reasons.map(|reason| row_of(&reason.to_string(), &[reason.meaning(), reason.remedy().unwrap_or("")]));
    Table { name, text: row(&["reason", "means", "what to do"]) + &row(&["---"; 3]) + &rows.collect::<String>() }
}

/// The reasons of tests, with what they mean: their type's own descriptions.
fn of_tests() -> Vec<(Reason, String)> {
    let schema = json!(schemars::schema_for!(Reason));
    let variants = schema["oneOf"].as_array().expect("each variant is described").clone();
    let described = variants.iter().flat_map(|variant| {
        let names = variant["const"].as_str().map(|name| vec![json!(name)]);
        let names = names.or_else(|| variant["enum"].as_array().cloned()).expect("a name");
        let meaning = variant["description"].as_str().expect("a description").to_owned();
        names.into_iter().map(move |name: Value| (serde_json::from_value(name).expect("a reason"), meaning.clone()))
    });
    described.collect()
}

fn tables() -> Vec<Table> {
    let kubernetes = KUBERNETES.iter().map(|(word, meaning, remedy)| row_of(word, &[meaning, remedy]));
    let tests = of_tests().into_iter().map(|(reason, meaning)| {
        let heals = if reason.heals_by_itself() { "may" } else { "" };
        row_of(&reason.to_string(), &[&meaning, heals, reason.remedy()])
    });
    let alone = |kind: &'static str| move |kinds: &[&str]| kinds == [kind];
    vec![
        own("common", |kinds| kinds.len() > 1),
        own(ARCHIVER, alone(ARCHIVER)),
        Table {
            name: "Kubernetes",
            text: row(&["reason", "means", "what to do"]) + &row(&["---"; 3]) + &kubernetes.collect::<String>(),
        },
        own(ENDPOINT, alone(ENDPOINT)),
        Table {
            name: "tests",
            text: row(&["reason", "means", "heals by itself", "what to do"])
                + &row(&["---"; 4])
                + &tests.collect::<String>(),
        },
        own(ASSIGNMENT, alone(ASSIGNMENT)),
    ]
}

/// `page` with the table between its marks.
fn filled(page: &str, table: &Table) -> String {
    let begin = format!("<!-- reasons: {} -->\n", table.name);
    let (before, rest) = page.split_once(&begin).unwrap_or_else(|| panic!("conditions.md has no line {begin:?}"));
    let (_, after) = rest.split_once("<!-- end -->").unwrap_or_else(|| panic!("nothing ends after {begin:?}"));
    format!("{before}{begin}{}<!-- end -->{after}", table.text)
}

fn page() -> (String, std::path::PathBuf) {
    // Of the run, not of the build: a shared target folder may hold this test as built for another checkout.
    let file = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo runs this")).join("../docs/conditions.md");
    (fs::read_to_string(&file).expect("docs/conditions.md can be read"), file)
}

#[test]
fn every_reason_is_explained() {
    let (page, file) = page();
    let wanted = tables().iter().fold(page.clone(), |page, table| filled(&page, table));
    if env::var_os("REGENERATE").is_some() {
        fs::write(file, &wanted).expect("docs/conditions.md can be written");
        return;
    }
    let missing: Vec<&str> = wanted.lines().filter(|line| !page.lines().any(|there| there == *line)).collect();
    assert!(page == wanted, "docs/conditions.md is stale, run: {MENDED_BY}\nit lacks: {missing:#?}");
}

#[test]
fn every_reason_stands_in_one_table() {
    let tables = tables();
    let rows = |word: &str| {
        let row = format!("| `{word}` |");
        tables.iter().flat_map(|table| table.text.lines()).filter(|line| line.starts_with(&row)).count()
    };
    for reason in ConditionReason::OWN {
        assert_eq!(rows(&reason.to_string()), 1, "{reason}");
    }
    for name in json!(imarchive_crds::definitions()[1]).pointer(NAMES).and_then(Value::as_array).expect("the enum") {
        assert_eq!(rows(name.as_str().expect("a name")), 1, "{name}");
    }
}

/// Where the definition of the endpoint lists the reasons of tests.
const NAMES: &str = "/spec/versions/0/schema/openAPIV3Schema/properties/status/properties/test/properties/reason/enum";

#[test]
fn every_condition_is_explained() {
    let (page, _) = page();
    let types = [
        ConditionType::Ready,
        ConditionType::Reconciling,
        ConditionType::Stalled,
        ConditionType::Tested,
        ConditionType::Accepted,
        ConditionType::Delivering,
        ConditionType::Default,
        ConditionType::Notified,
        ConditionType::EndpointResolved,
    ];
    for type_ in types.map(ConditionType::name) {
        assert!(page.contains(&format!("\n| {type_} |")), "{type_} has no row in docs/conditions.md");
    }
}
