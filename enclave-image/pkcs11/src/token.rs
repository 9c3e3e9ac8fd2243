//! One token, one key, one signature.

use std::path::Path;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use cryptoki::types::AuthPin;

use crate::failure::{Failure, Kind};
use crate::uri::KeyUri;

/// r and s of P-384, 48 bytes each (PKCS#11 v2.40, section 2.3.1).
const SIGNATURE_BYTES: usize = 96;

/// CKA_EC_PARAMS of P-384: the DER of the object identifier 1.3.132.0.34.
const P384_PARAMETERS: [u8; 7] = [0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];

/// Signs `digest` with the one key that `uri` names.
///
/// # Errors
/// `pkcs11.*`, `pin.*`.
pub(crate) fn sign(
    module: &Path,
    uri: &KeyUri,
    pin: Option<AuthPin>,
    digest: &[u8; 48],
) -> Result<[u8; SIGNATURE_BYTES], Failure> {
    let failed = |error: Error| {
        Failure::new(
            Kind::Environment,
            "pkcs11.module",
            format!("cannot use the module {}: {error}", module.display()),
        )
    };
    let context = Pkcs11::new(module).map_err(failed)?;
    context
        .initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))
        .map_err(failed)?;
    let (slot, token) = one_token(&context, uri).and_then(|found| found.ok_or_else(no_token))?;
    let session = context
        .open_ro_session(slot)
        .map_err(|error| token_failed(&token, &error))?;
    log_in(&session, &token, pin)?;
    let key = one_key(&session, &token, uri)?;
    // The digest is made by our caller: every token knows this mechanism, few the hashing ones.
    let signature = session
        .sign(&Mechanism::Ecdsa, key, digest)
        .map_err(|error| token_failed(&token, &error))?;
    signature.try_into().map_err(|signature: Vec<u8>| {
        Failure::new(
            Kind::Environment,
            "pkcs11.signature",
            format!(
                "the token gave a signature of {} bytes; P-384 has {SIGNATURE_BYTES}",
                signature.len()
            ),
        )
    })
}

/// The one token that matches: a PIN must not be tried on another, which it could lock.
fn one_token(context: &Pkcs11, uri: &KeyUri) -> Result<Option<(Slot, TokenInfo)>, Failure> {
    let failed = |error: Error| {
        Failure::new(
            Kind::Environment,
            "pkcs11.module",
            format!("cannot list tokens: {error}"),
        )
    };
    let mut found: Option<(Slot, TokenInfo)> = None;
    for slot in context.get_slots_with_initialized_token().map_err(failed)? {
        let token = context.get_token_info(slot).map_err(failed)?;
        if !matches(uri, slot, &token) {
            continue;
        }
        if let Some((_, other)) = &found {
            return Err(Failure::new(
                Kind::Misuse,
                "pkcs11.tokens",
                format!(
                    "several tokens match the URI, {} and {} among them; add token= and serial=",
                    named(other),
                    named(&token)
                ),
            ));
        }
        found = Some((slot, token));
    }
    Ok(found)
}

fn matches(uri: &KeyUri, slot: Slot, token: &TokenInfo) -> bool {
    let is = |wanted: &Option<String>, there: &str| {
        wanted
            .as_deref()
            .is_none_or(|wanted| wanted == there.trim_end())
    };
    is(&uri.token, token.label())
        && is(&uri.manufacturer, token.manufacturer_id())
        && is(&uri.model, token.model())
        && is(&uri.serial, token.serial_number())
        && uri.slot_id.is_none_or(|wanted| wanted == slot.id())
}

fn log_in(session: &Session, token: &TokenInfo, pin: Option<AuthPin>) -> Result<(), Failure> {
    if !token.login_required() {
        return Ok(());
    }
    if token.user_pin_locked() {
        return Err(Failure::new(
            Kind::Refused,
            "pin.locked",
            format!("the PIN of token {} is locked", named(token)),
        ));
    }
    let pin = match (pin, token.protected_authentication_path()) {
        (Some(pin), _) => Some(pin),
        (None, true) => None, // It asks for the PIN on its own keys.
        (None, false) => {
            return Err(Failure::new(
                Kind::Misuse,
                "pin.missing",
                format!(
                    "token {} wants its PIN: give it in a file, or in NARTHEX_PKCS11_PIN",
                    named(token)
                ),
            ));
        }
    };
    // The last try is for a person who knows that it is the last.
    if token.user_pin_final_try() {
        return Err(Failure::new(
            Kind::Refused,
            "pin.final_try",
            format!(
                "one more wrong PIN locks token {}: log in with its own tool first",
                named(token)
            ),
        ));
    }
    match session.login(UserType::User, pin.as_ref()) {
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
        Err(Error::Pkcs11(
            RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange,
            _,
        )) => Err(Failure::new(
            Kind::Refused,
            "pin.wrong",
            format!("token {} refused the PIN", named(token)),
        )),
        Err(Error::Pkcs11(RvError::PinLocked, _)) => Err(Failure::new(
            Kind::Refused,
            "pin.locked",
            format!("the PIN of token {} is locked", named(token)),
        )),
        Err(error) => Err(token_failed(token, &error)),
    }
}

fn one_key(session: &Session, token: &TokenInfo, uri: &KeyUri) -> Result<ObjectHandle, Failure> {
    let mut template = vec![Attribute::Class(ObjectClass::PRIVATE_KEY)];
    template.extend(
        uri.object
            .as_ref()
            .map(|label| Attribute::Label(label.clone().into_bytes())),
    );
    template.extend(uri.id.clone().map(Attribute::Id));
    let keys = session
        .find_objects(&template)
        .map_err(|error| token_failed(token, &error))?;
    let key = match keys.as_slice() {
        [key] => *key,
        [] => {
            return Err(Failure::new(
                Kind::Refused,
                "pkcs11.no_key",
                format!("token {} has no such private key", named(token)),
            ));
        }
        _ => {
            return Err(Failure::new(
                Kind::Misuse,
                "pkcs11.keys",
                format!(
                    "{} private keys of token {} match the URI; add id= or object=",
                    keys.len(),
                    named(token)
                ),
            ));
        }
    };
    let attributes = session
        .get_attributes(
            key,
            &[
                AttributeType::KeyType,
                AttributeType::EcParams,
                AttributeType::Sign,
                AttributeType::AlwaysAuthenticate,
            ],
        )
        .map_err(|error| token_failed(token, &error))?;
    usable(&attributes)?;
    Ok(key)
}

/// Checks that it is a key on P-384 that may sign.
fn usable(attributes: &[Attribute]) -> Result<(), Failure> {
    let is_elliptic = attributes.contains(&Attribute::KeyType(KeyType::EC));
    if !is_elliptic || !attributes.contains(&Attribute::EcParams(P384_PARAMETERS.to_vec())) {
        return Err(Failure::new(
            Kind::Refused,
            "pkcs11.key_type",
            "the key is not on P-384; images are signed by ES384 only",
        ));
    }
    if attributes.contains(&Attribute::Sign(false)) {
        return Err(Failure::new(
            Kind::Refused,
            "pkcs11.key_use",
            "the token does not let this key sign",
        ));
    }
    if attributes.contains(&Attribute::AlwaysAuthenticate(true)) {
        return Err(Failure::new(
            Kind::Refused,
            "pkcs11.always_authenticate",
            "the key wants its PIN before each signature, which is not done here; use a key without \
             CKA_ALWAYS_AUTHENTICATE",
        ));
    }
    Ok(())
}

fn no_token() -> Failure {
    Failure::new(
        Kind::Refused,
        "pkcs11.no_token",
        "the module has no initialised token that matches the URI",
    )
}

fn named(token: &TokenInfo) -> String {
    format!("`{}` (serial {})", token.label(), token.serial_number())
}

fn token_failed(token: &TokenInfo, error: &Error) -> Failure {
    Failure::new(
        Kind::Environment,
        "pkcs11.token",
        format!("token {} failed: {error}", named(token)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_key_on_p384_that_may_sign() {
        let good = vec![
            Attribute::KeyType(KeyType::EC),
            Attribute::EcParams(P384_PARAMETERS.to_vec()),
            Attribute::Sign(true),
            Attribute::AlwaysAuthenticate(false),
        ];
        usable(&good).unwrap();
        let p256 = vec![0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
        for (index, attribute, id) in [
            (0, Attribute::KeyType(KeyType::RSA), "pkcs11.key_type"),
            (1, Attribute::EcParams(p256), "pkcs11.key_type"),
            (2, Attribute::Sign(false), "pkcs11.key_use"),
            (
                3,
                Attribute::AlwaysAuthenticate(true),
                "pkcs11.always_authenticate",
            ),
        ] {
            let mut wrong = good.clone();
            wrong[index] = attribute;
            assert_eq!(usable(&wrong).unwrap_err().id(), id);
        }
    }
}
