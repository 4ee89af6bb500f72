//! The CustomResourceDefinitions, as a cluster is given them.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{CustomResourceDefinition, JSON};
use kube::CustomResourceExt;
use serde_json::json;

use crate::{Archiver, ArchivingEndpoint, UserAssignment};

/// The three definitions.
pub fn definitions() -> [CustomResourceDefinition; 3] {
    [Archiver::crd(), ArchivingEndpoint::crd(), UserAssignment::crd()].map(|mut definition| {
        for version in &mut definition.spec.versions {
            let schema = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut());
            let properties = schema.and_then(|schema| schema.properties.as_mut());
            let status = properties.and_then(|properties| properties.get_mut("status"));
            if let Some(status) = status {
                // A fresh object has generation 1: with 0 or nothing here, a kstatus reader could take it for current.
                status.default = Some(JSON(json!({"observedGeneration": -1})));
            }
        }
        definition
    })
}
