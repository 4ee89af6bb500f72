//! `operator crds`: the definitions as a cluster is given them.

use std::io::Write;

use anyhow::Context;

/// Writes the definitions as one YAML stream.
pub fn print(mut out: impl Write) -> anyhow::Result<()> {
    for definition in imarchive_crds::definitions() {
        let yaml = serde_yaml_ng::to_string(&definition).context("a definition cannot be written as YAML")?;
        write!(out, "---\n{yaml}").context("the definitions cannot be written")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
    use serde::Deserialize;

    #[test]
    fn each_document_is_a_definition() {
        let mut out = Vec::new();
        super::print(&mut out).expect("a buffer takes everything");
        let kinds: Vec<String> = serde_yaml_ng::Deserializer::from_slice(&out)
            .map(|document| CustomResourceDefinition::deserialize(document).expect("a definition").spec.names.kind)
            .collect();
        assert_eq!(kinds, ["Archiver", "ArchivingEndpoint", "UserAssignment"]);
    }
}
