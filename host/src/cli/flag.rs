//! The values of flags that set a setting: read as in a configuration file, and refused where the flag has a new
//! name.

use oneflight::model::setting::LimitTable;

/// A flag that has another name now. It is refused, so there is no value of it.
#[derive(Clone, Copy, Debug)]
pub(super) enum RenamedFlag {}

/// Refuses a flag, whose value `unit` was not part of, with its new name.
pub(super) fn renamed(
    new: &'static str,
    unit: &'static str,
) -> impl Fn(&str) -> Result<RenamedFlag, String> + Clone + Send + Sync + 'static {
    move |text| Err(format!("it was renamed to {new}; write {new} {text}{unit}"))
}

/// Reads the limit `name` as a configuration file has it.
pub(super) fn limit<T: LimitTable, V: Clone + Send + Sync + 'static>(
    name: &'static str,
    get: fn(&T) -> V,
) -> impl Fn(&str) -> Result<V, String> + Clone + Send + Sync + 'static {
    move |text| {
        let limit = T::limit(name).ok_or("expected the name of a limit")?;
        let limits = limit.set_text(&T::default(), text);
        let limits = limits.map_err(|expected| format!("expected {expected}"))?;
        Ok(get(&limits))
    }
}
