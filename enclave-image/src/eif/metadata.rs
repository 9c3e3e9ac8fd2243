use serde::Serialize;

/// What the metadata section of an image that we write says, as JSON.
///
/// It is not measured, so nobody may believe it. It has the fields that `nitro-cli describe-eif`
/// insists on. The time of the build is the beginning of 1970, so that the same inputs make the
/// same file; who built what and when belongs into the signed manifest.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Metadata {
    /// The image's name.
    pub image_name: String,
    /// The image's version.
    pub image_version: String,
    /// The operating system that the kernel is.
    pub operating_system: String,
    /// The kernel's version, or `unknown`.
    pub kernel_version: String,
}

impl Metadata {
    /// Metadata with a name and a version, for a Linux kernel of unknown version.
    #[must_use]
    pub fn new(image_name: impl Into<String>, image_version: impl Into<String>) -> Self {
        Self {
            image_name: image_name.into(),
            image_version: image_version.into(),
            operating_system: "Linux".to_owned(),
            kernel_version: "unknown".to_owned(),
        }
    }

    /// The section's content: always the same bytes for the same values.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let Self {
            image_name,
            image_version,
            operating_system,
            kernel_version,
        } = self;
        let section = Section {
            image_name,
            image_version,
            build: Build {
                time: "1970-01-01T00:00:00+00:00",
                tool: env!("CARGO_PKG_NAME"),
                tool_version: env!("CARGO_PKG_VERSION"),
                operating_system,
                kernel_version,
            },
            docker: Empty {},
            custom: Empty {},
        };
        // Strings and fixed names: nothing in it can fail to be JSON.
        serde_json::to_vec(&section).unwrap_or_default()
    }
}

#[derive(Serialize)]
struct Section<'a> {
    #[serde(rename = "ImageName")]
    image_name: &'a str,
    #[serde(rename = "ImageVersion")]
    image_version: &'a str,
    #[serde(rename = "BuildMetadata")]
    build: Build<'a>,
    #[serde(rename = "DockerInfo")]
    docker: Empty,
    #[serde(rename = "CustomMetadata")]
    custom: Empty,
}

#[derive(Serialize)]
struct Build<'a> {
    #[serde(rename = "BuildTime")]
    time: &'a str,
    #[serde(rename = "BuildTool")]
    tool: &'a str,
    #[serde(rename = "BuildToolVersion")]
    tool_version: &'a str,
    #[serde(rename = "OperatingSystem")]
    operating_system: &'a str,
    #[serde(rename = "KernelVersion")]
    kernel_version: &'a str,
}

#[derive(Serialize)]
struct Empty {}
