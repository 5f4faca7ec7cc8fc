//! The settings of the built-in client, which it gets as environment variables.
//!
//! Two programs parse them, with this crate: the client, in the first call of an instance, and the host, when it loads
//! the client. What the client would refuse is therefore refused before it is called, with a place in a file. The crate
//! has no dependencies, because it is compiled for Wasm, too.
//!
//! | variable | meaning |
//! |---|---|
//! | `BASE_URL` | the URL; the key replaces `{x}`, or is added as the query parameter `x` |
//! | `HEADER_<NAME>` | a header to send; `_` in the name becomes `-` |
//! | `ITEMS_AT` | a JSON pointer to the items: an array, one object, or `null` for none; by default the whole body |
//! | `ID_AT` | a JSON pointer to the id within an item, a string or a number; by default `/id` |
//! | `ANSWER` | `items`, the default; or `item`: what `ITEMS_AT` points to is one item, whose id is the key |
//!
//! Error messages name a setting and never its value, which may be secret.

mod base_url;
mod error;
mod header;
mod pointer;

pub use self::base_url::{BaseUrl, UrlScheme};
pub use self::error::{Problem, SettingError};
pub use self::header::Header;
pub use self::pointer::Pointer;

/// The name of the setting that has the URL.
pub const BASE_URL: &str = "BASE_URL";

const ITEMS_AT: &str = "ITEMS_AT";
const ID_AT: &str = "ID_AT";
const ANSWER: &str = "ANSWER";

/// The settings of the built-in client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSettings {
    /// Where the request goes.
    pub base_url: BaseUrl,
    /// The headers to send, each once.
    pub headers: Vec<Header>,
    /// Where the items are in the body.
    pub items_at: Pointer,
    /// What the items are.
    pub answer: Answer,
}

/// What the items of an answer are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The elements of an array, or one object.
    Items {
        /// Where the id is in an item.
        id_at: Pointer,
    },
    /// The answer is one item, whose id is the key.
    Item,
}

impl ClientSettings {
    /// Parses the `variables` of the client's environment, names and values.
    ///
    /// # Errors
    ///
    /// For the first setting that is missing, unknown or not valid.
    pub fn parse<N, V>(variables: impl IntoIterator<Item = (N, V)>) -> Result<Self, SettingError>
    where
        N: AsRef<str>,
        V: AsRef<str>,
    {
        let mut base_url = None;
        let mut headers: Vec<Header> = Vec::new();
        let (mut items_at, mut id_at, mut is_item) = (Pointer::default(), None, false);
        for (setting, value) in variables {
            let (setting, value) = (setting.as_ref(), value.as_ref());
            let about = |problem| SettingError::new(setting, problem);
            match setting {
                BASE_URL => base_url = Some(BaseUrl::parse(value).map_err(about)?),
                ITEMS_AT => items_at = Pointer::parse(value).map_err(about)?,
                ID_AT => id_at = Some(Pointer::parse(value).map_err(about)?),
                ANSWER => {
                    is_item = match value {
                        "item" => true,
                        "items" => false,
                        _ => return Err(about(Problem::Answer)),
                    }
                }
                _ => {
                    let header = Header::parse(setting, value).map_err(about)?;
                    if headers.iter().any(|other| other.name == header.name) {
                        return Err(about(Problem::RepeatedHeader));
                    }
                    headers.push(header);
                }
            }
        }
        let answer = match (is_item, id_at) {
            (true, None) => Answer::Item,
            (true, Some(_)) => return Err(SettingError::new(ID_AT, Problem::IdIsKey)),
            (false, id_at) => Answer::Items {
                id_at: id_at.unwrap_or_else(|| Pointer::to("id")),
            },
        };
        Ok(Self {
            base_url: base_url.ok_or_else(|| SettingError::new(BASE_URL, Problem::NoUrl))?,
            headers,
            items_at,
            answer,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: (&str, &str) = (BASE_URL, "http://a.example/{x}");

    fn refused(settings: &[(&str, &str)]) -> (String, Problem) {
        let error = ClientSettings::parse(settings.iter().copied()).unwrap_err();
        (error.setting().to_owned(), error.problem())
    }

    #[test]
    fn settings_have_defaults() {
        let settings = ClientSettings::parse([URL]).unwrap();
        assert_eq!(settings.headers, []);
        assert_eq!(settings.items_at.tokens(), [""; 0]);
        let id_at = Pointer::to("id");
        assert_eq!(settings.answer, Answer::Items { id_at });
    }

    #[test]
    fn an_error_names_the_setting_and_not_its_value() {
        for (setting, value, problem) in [
            (BASE_URL, "s3cret", Problem::Scheme),
            ("ITEMS_AT", "s3cret", Problem::Pointer),
            ("ID_AT", "s3cret", Problem::Pointer),
            (ANSWER, "s3cret", Problem::Answer),
            ("HEADER_AUTHORIZATION", "s3cret\n", Problem::HeaderValue),
            ("HEADER_", "s3cret", Problem::HeaderName),
            ("HEADER_CONTENT_LENGTH", "3", Problem::ForbiddenHeader),
            ("ITEM_AT", "s3cret", Problem::Unknown),
            ("header_accept", "s3cret", Problem::Unknown),
        ] {
            let settings = [URL, (setting, value)];
            let settings = if setting == BASE_URL {
                &settings[1..]
            } else {
                &settings
            };
            assert_eq!(
                refused(settings),
                (setting.to_owned(), problem),
                "{setting}"
            );
            let error = ClientSettings::parse(settings.iter().copied())
                .unwrap_err()
                .to_string();
            assert!(
                error.contains(setting) && !error.contains("s3cret"),
                "{error}"
            );
            assert!(
                error.starts_with("expected ") && error.contains(", got "),
                "{error}"
            );
        }
        assert_eq!(refused(&[]), (BASE_URL.to_owned(), Problem::NoUrl));
    }

    #[test]
    fn an_answer_is_items_with_an_id_each_or_one_item_whose_id_is_the_key() {
        let answer = |settings: &[(&str, &str)]| {
            let settings = [URL].iter().chain(settings).copied();
            ClientSettings::parse(settings).map(|settings| settings.answer)
        };
        let id_at = Pointer::to("key");
        let items = Ok(Answer::Items { id_at });
        assert_eq!(answer(&[("ID_AT", "/key")]), items);
        assert_eq!(answer(&[("ID_AT", "/key"), (ANSWER, "items")]), items);
        assert_eq!(answer(&[(ANSWER, "item")]), Ok(Answer::Item));
        for both in [
            [("ID_AT", "/key"), (ANSWER, "item")],
            [(ANSWER, "item"), ("ID_AT", "/key")],
        ] {
            let refused = SettingError::new("ID_AT", Problem::IdIsKey);
            assert_eq!(answer(&both), Err(refused));
        }
    }

    #[test]
    fn one_header_has_one_setting() {
        let settings = [URL, ("HEADER_X_A", "1"), ("HEADER_x-a", "2")];
        let expected = ("HEADER_x-a".to_owned(), Problem::RepeatedHeader);
        assert_eq!(refused(&settings), expected);
    }
}
