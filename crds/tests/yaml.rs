//! The generated YAML is up to date.

use std::{env, fs, path::Path};

#[test]
fn the_yaml_is_what_the_types_say() {
    // Of the run, not of the build: a shared target folder may hold this test as built for another checkout.
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo runs this")).join("yaml");
    for definition in imarchive_crds::definitions() {
        let file = folder.join(format!("{}.yaml", definition.spec.names.plural));
        let expected = serde_yaml_ng::to_string(&definition).expect("a definition is YAML");
        if env::var_os("REGENERATE").is_some() {
            fs::write(&file, &expected).expect("the folder can be written");
        }
        let actual = fs::read_to_string(&file).unwrap_or_default();
        assert!(actual == expected, "{} is stale; run: make crds", file.display());
    }
}
