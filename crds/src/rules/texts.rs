//! Texts with a schema of their own inside of lists and maps, where a field's attributes do not reach.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident = $schema:tt;)*) => {$(
        $(#[$doc])*
        pub struct $name;

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }

            fn inline_schema() -> bool {
                true
            }
        }
    )*};
}

texts! {
    /// An [`Address`](crate::Address) that mail is sent to or from.
    Mailbox = {
        "type": "string", "minLength": 3, "maxLength": 320, "description": "A mailbox, local@domain.",
        "x-kubernetes-validations": super::mailbox()
    };

    /// The name of a chat system.
    Source = {
        "type": "string", "minLength": 1, "maxLength": 63, "description": "A source, as messages name it.",
        "x-kubernetes-validations": super::source()
    };

    /// One delay of a ladder.
    Rung = {
        "type": "string", "maxLength": 20, "description": "A delay.",
        "x-kubernetes-validations": super::span("1s", "24h")
    };

    /// The value of a label.
    LabelValue = {"type": "string", "maxLength": 63};

    /// The value of an annotation. Of the 32 that a Service may have here, each has its share of 256 KiB.
    AnnotationValue = {"type": "string", "maxLength": 8192};
}
