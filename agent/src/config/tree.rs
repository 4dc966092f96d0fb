//! Turns a TOML document into typed tables, going on after each fault so that all of them are told at once.
//!
//! [`tables!`] declares a table once: its keys, their types and defaults, what they are for, and the keys that are
//! still to come. The reader, the nearest right word and the JSON Schema all follow from that one declaration.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::{Findings, Span, nearest};

/// A value with its place in the file.
#[derive(Clone, Debug)]
pub(crate) struct At<T> {
    /// What was typed there.
    pub value: T,
    /// Where.
    pub span: Span,
}

/// A value that holds no others, as TOML has it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Raw<'a> {
    Text(&'a str),
    Whole(i64),
    Truth(bool),
    /// Something else, by its name.
    Other(&'static str),
}

impl<'a> Raw<'a> {
    fn of(value: &'a DeValue<'_>) -> Self {
        match value {
            DeValue::String(text) => Self::Text(text),
            DeValue::Boolean(truth) => Self::Truth(*truth),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_or(Self::Other("a number beyond 64 bits"), Self::Whole),
            DeValue::Float(_) => Self::Other("a number with a fraction"),
            DeValue::Datetime(_) => Self::Other("a date"),
            DeValue::Array(_) => Self::Other("a list"),
            DeValue::Table(_) => Self::Other("a table"),
        }
    }

    fn found(self) -> String {
        match self {
            Self::Text("") => "an empty text".to_owned(),
            Self::Text(text) => format!("`{}`", excerpt(text)),
            Self::Whole(number) => format!("the number `{number}`"),
            Self::Truth(truth) => format!("`{truth}`"),
            Self::Other(name) => name.to_owned(),
        }
    }

    fn json(self) -> Value {
        match self {
            Self::Text(text) => text.into(),
            Self::Whole(number) => number.into(),
            Self::Truth(truth) => truth.into(),
            Self::Other(_) => Value::Null,
        }
    }
}

impl From<&'static str> for Raw<'static> {
    fn from(text: &'static str) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Raw<'static> {
    fn from(number: i64) -> Self {
        Self::Whole(number)
    }
}

impl From<bool> for Raw<'static> {
    fn from(truth: bool) -> Self {
        Self::Truth(truth)
    }
}

/// The beginning of a text, safe to print.
pub(crate) fn excerpt(text: &str) -> String {
    const SHOWN: usize = 60;
    let mut shown: String = text.chars().take(SHOWN).collect::<String>().escape_debug().collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

/// Why a raw value is not the leaf it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Odd {
    /// Not what is expected.
    Found,
    /// Not what is expected, and what may have been meant.
    Hint(String),
    /// Right in form, and refused all the same.
    Refused(String),
}

/// A value that holds no others, as meant.
pub(crate) trait Leaf: Sized {
    /// What is expected, for people: "a duration such as `8s`".
    fn expected() -> Cow<'static, str>;
    /// What is expected, for editors.
    fn schema() -> Value;
    /// From what TOML has.
    fn read(raw: Raw<'_>) -> Result<Self, Odd>;
    /// Is what was found never to be repeated?
    const SECRET: bool = false;
}

/// Anything a key may have.
pub(crate) trait Field: Sized + JsonSchema {
    /// From what was typed for `key`; what is wrong with it goes into the findings.
    fn read(value: &Spanned<DeValue<'_>>, key: &str, findings: &mut Findings<'_>) -> Option<Self>;
    /// What it is when nothing was typed; `None` where something must be.
    fn absent(span: &Span, default: Option<Raw<'static>>) -> Option<Self>;
    /// What is expected, for people.
    fn expected() -> Cow<'static, str>;
}

impl<T: Leaf> Field for At<T> {
    fn read(value: &Spanned<DeValue<'_>>, key: &str, findings: &mut Findings<'_>) -> Option<Self> {
        let (raw, span) = (Raw::of(value.get_ref()), value.span());
        let expected = T::expected();
        let text = match T::read(raw) {
            Ok(value) => return Some(Self { value, span }),
            Err(Odd::Refused(why)) => format!("`{key}`: {why}"),
            Err(_) if T::SECRET => format!("`{key}`: expected {expected}"),
            Err(Odd::Hint(hint)) => {
                format!("`{key}`: expected {expected}, found {}; {hint}", raw.found())
            }
            Err(Odd::Found) => format!("`{key}`: expected {expected}, found {}", raw.found()),
        };
        findings.error(&span, text);
        None
    }

    fn absent(span: &Span, default: Option<Raw<'static>>) -> Option<Self> {
        let value = T::read(default?).expect("our own defaults are well-formed");
        Some(Self { value, span: span.clone() })
    }

    fn expected() -> Cow<'static, str> {
        T::expected()
    }
}

impl<T: Field> Field for Option<T> {
    fn read(value: &Spanned<DeValue<'_>>, key: &str, findings: &mut Findings<'_>) -> Option<Self> {
        Some(T::read(value, key, findings))
    }

    fn absent(_: &Span, _: Option<Raw<'static>>) -> Option<Self> {
        Some(None)
    }

    fn expected() -> Cow<'static, str> {
        T::expected()
    }
}

impl<T: Field> Field for Vec<T> {
    fn read(value: &Spanned<DeValue<'_>>, key: &str, findings: &mut Findings<'_>) -> Option<Self> {
        match value.get_ref() {
            DeValue::Array(items) => {
                Some(items.iter().filter_map(|item| T::read(item, key, findings)).collect())
            }
            DeValue::Table(_) => {
                let text =
                    format!("`{key}` may be given several times: write `[[…]]` in place of `[…]`");
                findings.error(&value.span(), text);
                None
            }
            other => {
                let (expected, found) = (T::expected(), Raw::of(other).found());
                findings.error(
                    &value.span(),
                    format!("`{key}`: expected a list, `[…]`, each {expected}, found {found}"),
                );
                None
            }
        }
    }

    fn absent(_: &Span, _: Option<Raw<'static>>) -> Option<Self> {
        Some(Self::new())
    }

    fn expected() -> Cow<'static, str> {
        "a list".into()
    }
}

/// A table whose keys are names that the author chose.
#[derive(Clone, Debug)]
pub(crate) struct Named<K, T>(pub Vec<(At<K>, T)>);

impl<K: Leaf, T: Field> Field for Named<K, T> {
    fn read(value: &Spanned<DeValue<'_>>, key: &str, findings: &mut Findings<'_>) -> Option<Self> {
        let table = table_of(value, key, "a table of names", findings)?;
        let mut named = Vec::new();
        for (name, value) in table.iter() {
            let found = value.get_ref();
            let at = match K::read(Raw::Text(name.get_ref())) {
                Ok(value) => At { value, span: name.span() },
                Err(_) => {
                    let (expected, found) = (K::expected(), excerpt(name.get_ref()));
                    findings.error(&name.span(), format!("expected {expected}, found `{found}`"));
                    continue;
                }
            };
            let label = match found {
                DeValue::Table(_) => key.to_owned(),
                _ => format!("{key}.{}", name.get_ref()),
            };
            if let Some(value) = T::read(value, &label, findings) {
                named.push((at, value));
            }
        }
        named.sort_by_key(|(name, _)| name.span.start);
        Some(Self(named))
    }

    fn absent(_: &Span, _: Option<Raw<'static>>) -> Option<Self> {
        Some(Self(Vec::new()))
    }

    fn expected() -> Cow<'static, str> {
        "a table of names".into()
    }
}

/// The table that was typed for `key`, or a finding.
pub(crate) fn table_of<'v, 'i>(
    value: &'v Spanned<DeValue<'i>>,
    key: &str,
    expected: &str,
    findings: &mut Findings<'_>,
) -> Option<&'v DeTable<'i>> {
    match value.get_ref() {
        DeValue::Table(table) => Some(table),
        DeValue::Array(items) if items.iter().all(|item| item.get_ref().is_table()) => {
            let text = format!("`{key}` is given once: write `[{key}]` in place of `[[{key}]]`");
            findings.error(&value.span(), text);
            None
        }
        other => {
            let found = Raw::of(other).found();
            findings.error(&value.span(), format!("`{key}`: expected {expected}, found {found}"));
            None
        }
    }
}

/// What a declared table is called, and the keys it knows.
pub(crate) struct Shape {
    /// As its author would write it, in backticks: `[probe]`.
    pub title: &'static str,
    /// The keys it has.
    pub keys: &'static [&'static str],
    /// The keys that are still to come, each with what to do meanwhile.
    pub later: &'static [(&'static str, &'static str)],
}

impl Shape {
    /// Notes every key that the table does not have. `homes` are the tables where it may belong.
    pub(crate) fn check(&self, table: &DeTable<'_>, homes: &[&Shape], findings: &mut Findings<'_>) {
        for key in table.keys() {
            let (name, title) = (key.get_ref().as_ref(), self.title);
            if self.keys.contains(&name) {
                continue;
            }
            if let Some((_, meanwhile)) = self.later.iter().find(|(later, _)| *later == name) {
                findings.error(&key.span(), format!("`{name}` is not supported yet: {meanwhile}"));
                continue;
            }
            // What secrets are called is nobody else's key.
            let named = |shape: &Shape| shape.title.contains('…');
            let mut homes = homes.iter().filter(|home| !named(home) && !named(self));
            let home = homes.find(|home| home.keys.contains(&name));
            let hint = match (nearest(name, self.keys.iter().copied()), home) {
                (Some(word), _) => format!("did you mean `{word}`?"),
                (None, Some(home)) => format!("it belongs in {}", home.title),
                (None, None) => {
                    format!("expected {}", super::fault::alternatives(self.keys.iter().copied()))
                }
            };
            let name = excerpt(name);
            findings.error(&key.span(), format!("unknown key `{name}` in {title}: {hint}"));
        }
    }

    /// What one key of the table holds.
    pub(crate) fn field<T: Field>(
        &self,
        (table, span): (&DeTable<'_>, &Span),
        key: &str,
        default: Option<Raw<'static>>,
        findings: &mut Findings<'_>,
    ) -> Option<T> {
        if let Some(value) = table.get(key) {
            return T::read(value, key, findings);
        }
        let absent = T::absent(span, default);
        let coming = self.later.iter().any(|(later, _)| table.get(*later).is_some());
        if absent.is_none() && !coming {
            let (title, expected) = (self.title, T::expected());
            findings.error(span, format!("{title} lacks `{key}`: expected {expected}"));
        }
        absent
    }
}

impl<T: Leaf> JsonSchema for At<T> {
    fn schema_name() -> Cow<'static, str> {
        T::expected()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        T::schema().try_into().expect("our own schemas are objects")
    }
}

impl<K, T: Field> JsonSchema for Named<K, T> {
    fn schema_name() -> Cow<'static, str> {
        format!("Named{}", T::schema_name()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let inner = generator.subschema_for::<T>();
        json_schema!({ "type": "object", "additionalProperties": inner })
    }
}

/// A key's schema with what it is for, and its default.
pub(crate) fn described(schema: Schema, doc: &[&str], default: Option<Raw<'static>>) -> Value {
    let mut schema = schema;
    schema.insert("description".to_owned(), prose(doc).into());
    if let Some(default) = default {
        schema.insert("default".to_owned(), default.json());
    }
    schema.to_value()
}

/// The lines of a documentation comment as one.
pub(crate) fn prose(doc: &[&str]) -> String {
    doc.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

/// Declares tables: see the module.
macro_rules! tables {
    ($(
        $(#[doc = $about:literal])*
        pub struct $name:ident = $title:literal {
            $( $(#[doc = $doc:literal])* $field:ident : $type:ty $(= $default:literal)?, )*
        } $( later { $( $later:literal => $meanwhile:literal, )* } )?
    )*) => {
        /// Every table of the file: where a key that is out of place may belong.
        const HOMES: &[&Shape] = &[$( &$name::SHAPE ),*];
        $(
            $(#[doc = $about])*
            #[derive(Clone, Debug)]
            #[allow(dead_code, reason = "not every table's place is needed beyond reading")]
            pub(crate) struct $name {
                /// The table's header.
                pub at: Span,
                $( $(#[doc = $doc])* pub $field: $type, )*
            }

            impl $name {
                pub(crate) const SHAPE: Shape = Shape {
                    title: $title,
                    keys: &[$( tables!(@key $field) ),*],
                    later: &[$( $( ($later, $meanwhile), )* )?],
                };
            }

            impl Field for $name {
                fn read(
                    value: &Spanned<DeValue<'_>>,
                    key: &str,
                    findings: &mut Findings<'_>,
                ) -> Option<Self> {
                    let table = table_of(value, key, Self::SHAPE.title, findings)?;
                    let at = value.span();
                    Self::SHAPE.check(table, HOMES, findings);
                    $( let $field = Self::SHAPE.field::<$type>(
                        (table, &at), tables!(@key $field), tables!(@default $($default)?), findings,
                    ); )*
                    Some(Self { at, $( $field: $field? ),* })
                }

                fn absent(span: &Span, _: Option<Raw<'static>>) -> Option<Self> {
                    Some(Self {
                        at: span.clone(),
                        $( $field: Field::absent(span, tables!(@default $($default)?))? ),*
                    })
                }

                fn expected() -> Cow<'static, str> {
                    concat!("a table ", $title).into()
                }
            }

            impl JsonSchema for $name {
                fn schema_name() -> Cow<'static, str> {
                    stringify!($name).into()
                }

                fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                    let mut properties = serde_json::Map::new();
                    let mut required: Vec<&str> = Vec::new();
                    $({
                        let (key, default) = (tables!(@key $field), tables!(@default $($default)?));
                        let schema = generator.subschema_for::<$type>();
                        properties.insert(key.to_owned(), described(schema, &[$($doc),*], default));
                        if <$type as Field>::absent(&(0..0), default).is_none() {
                            required.push(key);
                        }
                    })*
                    json_schema!({
                        "type": "object",
                        "description": prose(&[$($about),*]),
                        "properties": properties,
                        "required": required,
                        "additionalProperties": false,
                    })
                }
            }
        )*
    };
    (@key r#type) => { "type" };
    (@key $field:ident) => { stringify!($field) };
    (@default) => { None };
    (@default $default:literal) => { Some(Raw::from($default)) };
}
pub(crate) use tables;
