//! What is generated from the types is up to date: the YAML, and the page about the resources.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

mod reference;

#[test]
fn the_yaml_is_what_the_types_say() {
    for definition in imarchive_crds::definitions() {
        let file = crds().join("yaml").join(format!("{}.yaml", definition.spec.names.plural));
        let expected = serde_yaml_ng::to_string(&definition).expect("a definition is YAML");
        is_current(&file, &expected);
    }
}

#[test]
fn the_page_about_the_resources_is_what_the_types_and_the_examples_say() {
    let project = crds().join("..");
    is_current(&project.join("docs/resources.md"), &reference::page(&project));
}

/// Of the run, not of the build: a shared target folder may hold this test as built for another checkout.
fn crds() -> PathBuf {
    Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo runs this")).to_owned()
}

fn is_current(file: &Path, expected: &str) {
    if env::var_os("REGENERATE").is_some() {
        fs::write(file, expected).expect("the folder can be written");
    }
    let actual = fs::read_to_string(file).unwrap_or_default();
    assert!(actual == expected, "{} is stale; run: make crds", file.display());
}
