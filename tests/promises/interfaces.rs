//! `oneflight new --interface`: clients with functions of their own.

use oneflight_tests::folder::Folder;

use crate::authoring::{files, run_in, stderr};

pub(crate) const ORDERS: &str = include_str!("../guests/orders/wit/orders.wit");
const KEYWORDS: &str = include_str!("../interfaces/keywords.wit");

/// A client that is made of a WIT.
struct Made {
    folder: Folder,
    language: &'static str,
}

impl Made {
    async fn of(wit: &str, language: &'static str) -> Self {
        let folder = Folder::new();
        folder.write("given.wit", wit.as_bytes());
        let args = [
            "new",
            "my-orders",
            "--lang",
            language,
            "--interface",
            "given.wit",
        ];
        let made = run_in(folder.path(), &args).await;
        assert!(made.status.success(), "{language}: {}", stderr(&made));
        Self { folder, language }
    }

    fn files(&self) -> Vec<String> {
        files(&self.folder.path().join("my-orders"))
    }

    fn text(&self, file: &str) -> String {
        let path = self.folder.path().join("my-orders").join(file);
        let bytes = std::fs::read(path).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Fails unless a file has each of these parts.
    fn has(&self, file: &str, parts: &[&str]) {
        let text = self.text(file);
        for part in parts {
            let language = self.language;
            assert!(text.contains(part), "{language}: expected {part} in {text}");
        }
    }
}

/// Files that a client in any language has.
const COMMON: [&str; 6] = [
    ".gitignore",
    "README.md",
    "build.sh",
    "wit/deps/acme-orders/given.wit",
    "wit/deps/oneflight-client.wit",
    "wit/world.wit",
];

/// For each language its own files, the one with the stubs, and a part of it.
const STUBS: [(&str, &[&str], &str, &str); 6] = [
    (
        "rust",
        &["Cargo.toml", "src/lib.rs", "src/upstream.rs"],
        "src/lib.rs",
        "    /// Reads an order of a tenant.\n    fn get_order(\n        tenant: String,\n        id: String,\n        \
         parts: orders::Parts,\n        region: Option<orders::Region>,\n    ) -> Result<orders::Order, orders::Error> {\n        \
         // TODO: the path of the request. Each argument that says what is requested is a segment of it.\n        \
         let response = upstream::get(&[&\"get-order\", &tenant, &id]);\n",
    ),
    (
        "js",
        &["client.js", "package.json", "upstream.js"],
        "client.js",
        "  // Reads an order of a tenant.\n  \
         // get-order: func(tenant: string, id: string, parts: parts, region: option<region>) -> result<order, error>\n  \
         getOrder(tenant, id, parts, region) {\n    \
         // TODO: the path of the request. Each argument that says what is requested is a segment of it.\n    \
         const response = upstream.get('get-order', tenant, id);\n",
    ),
    (
        "ts",
        &[
            "client.ts",
            "package.json",
            "tsconfig.json",
            "types.d.ts",
            "upstream.ts",
        ],
        "client.ts",
        "  // Reads an order of a tenant.\n  \
         getOrder(tenant: string, id: string, parts: Orders.Parts, region: Orders.Region | null | undefined): Orders.Order {\n    \
         // TODO: the path of the request. Each argument that says what is requested is a segment of it.\n    \
         const response = upstream.get('get-order', tenant, id);\n",
    ),
    (
        "python",
        &["client.py", "upstream.py"],
        "client.py",
        "    # Reads an order of a tenant.\n    def get_order(\n        self,\n        tenant: str,\n        id: str,\n        \
         parts: wit_world.exports.orders.Parts,\n        region: wit_world.exports.orders.Region | None,\n    ) \
         -> wit_world.exports.orders.Order:\n        \
         # TODO: the path of the request. Each argument that says what is requested is a segment of it.\n        \
         response = upstream.get(\"get-order\", tenant, id)\n",
    ),
    (
        "go",
        &[
            "acme_orders_orders/empty.s",
            "acme_orders_orders/wit_bindings.go",
            "export_acme_orders_orders/client.go",
            "export_acme_orders_orders/empty.s",
            "export_wit_world/client.go",
            "export_wit_world/empty.s",
            "go.mod",
            "oneflight_client_fetch/empty.s",
            "oneflight_client_fetch/wit_bindings.go",
            "upstream/upstream.go",
            "wit_exports.go",
        ],
        "export_acme_orders_orders/client.go",
        "// Reads an order of a tenant.\nfunc GetOrder(tenant string, id string, parts acme_orders_orders.Parts, \
         region witTypes.Option[acme_orders_orders.Region]) \
         witTypes.Result[acme_orders_orders.Order, acme_orders_orders.Error] {\n\t\
         // TODO: the path of the request. Each argument that says what is requested is a segment of it.\n\t\
         response, err := upstream.Get(\"get-order\", tenant, id)\n",
    ),
    (
        "c",
        &[
            "bindings/client.c",
            "bindings/client.h",
            "bindings/client_component_type.o",
            "client.c",
            "json.c",
            "json.h",
            "upstream.c",
            "upstream.h",
        ],
        "client.c",
        "// Reads an order of a tenant.\nbool exports_acme_orders_orders_get_order(client_string_t *tenant, \
         client_string_t *id, exports_acme_orders_orders_parts_t parts, \
         exports_acme_orders_orders_region_t *maybe_region, exports_acme_orders_orders_order_t *ret, \
         exports_acme_orders_orders_error_t *err) {\n  \
         // TODO: the path of the request. Each argument that says what is requested is a segment of it.\n  \
         upstream_reply reply = upstream_get(\"get-order\", (const client_string_t *[]){tenant, id, NULL});\n",
    ),
];

#[tokio::test]
async fn new_with_an_interface_has_a_stub_for_each_function_with_the_types_of_its_language() {
    for (language, own, file, stub) in STUBS {
        let made = Made::of(ORDERS, language).await;
        let mut expected: Vec<_> = COMMON.iter().chain(own).copied().collect();
        expected.sort_unstable();
        assert_eq!(made.files(), expected, "{language}");
        assert_eq!(made.text("wit/deps/acme-orders/given.wit"), ORDERS);
        made.has(file, &[stub]);
        for file in made.files() {
            let text = made.text(&file);
            let is_left = text.contains("my-client") || text.contains("my_client");
            assert!(!is_left, "{language}: {file}");
        }
        made.has(
            "wit/world.wit",
            &[
                "package local:my-orders;",
                "import oneflight:client/fetch@0.1.0;",
                "include acme:orders/orders-client@1.0.0;",
            ],
        );
        made.has(
            "README.md",
            &[
                "\n`acme:orders/orders@1.0.0` and `version`.\n",
                "\noneflight call 'get-order(\"a\", \"a\", {lines}, some(eu))' --component client.wasm",
                "\nshare = [\"acme:orders/orders@1.0.0#get-order\"]\n",
            ],
        );
    }
}

#[tokio::test]
async fn names_that_are_words_of_a_language_have_the_form_that_its_bindings_have() {
    let languages: [(&str, &str, &[&str]); 6] = [
        (
            "rust",
            "src/lib.rs",
            &[
                "    fn type_(\n        func: String,\n        int: u32,\n        class: class::Kind,\n        \
                 async_: bool,\n        upstream: i64,\n        response_: String,\n    ) -> Result<class::Value, String> {\n",
                "upstream::get(&[&\"type\", &func, &int, &upstream, &response_]);",
                "    fn self_() -> Result<(), class::Kind> {\n",
                "    fn return_(t: class::True) -> class::Alias {\n",
                "    fn record(s: bindings::Shared, mine: bindings::Mine) -> bindings::Mine {\n",
            ],
        ),
        (
            "js",
            "client.js",
            &[
                "const class_ = {\n",
                "  type(func, int, class_, async, upstream_, response_) {\n",
                "export function bare(x, list) {\n",
                "\nexport { class_ as class };\n",
            ],
        ),
        (
            "ts",
            "client.ts",
            &[
                "  type(\n    func: string,\n    int: number,\n    class_: Class.Kind,\n",
                "    o: { tag: 'some'; val: string | null | undefined } | { tag: 'none' },\n",
                "  def(x: number, y: number): Uint8Array {\n",
                "export function record(s: World.Shared, mine: World.Mine): World.Mine {\n",
                "\nexport { class_ as class };\n",
            ],
        ),
        (
            "python",
            "client.py",
            &[
                "    # * / / are no end of this comment.\n",
                "        class_: wit_world.exports.class_.Kind,\n",
                "    def return_(self, t: wit_world.exports.class_.True_) -> tuple[int, int, int, int]:\n",
                "        k: list[wit_world.imports.types.Key],\n",
                "        o: Some[str | None] | None,\n",
                "class WitWorld(wit_world.WitWorld):\n",
            ],
        ),
        (
            "go",
            "export_acme_interface_class/client.go",
            &[
                "func Type(func_ string, int uint32, class acme_interface_class.Kind, async bool, upstream_ int64, \
                 response_ string) witTypes.Result[acme_interface_class.Value, string] {\n",
                "upstream.Get(\"type\", func_, int, upstream_, response_)\n",
            ],
        ),
        (
            "c",
            "client.c",
            &[
                "// * / / are no end of this comment.\n",
                "  upstream_reply reply_ = upstream_get(\"async\", (const client_string_t *[]){err_, reply, NULL});\n",
                "void exports_client_nothing(void) {\n",
            ],
        ),
    ];
    for (language, file, parts) in languages {
        let made = Made::of(KEYWORDS, language).await;
        made.has(file, parts);
        made.has(
            "wit/world.wit",
            &["  include acme:%interface/keywords@1.0.0;\n"],
        );
    }
    let made = Made::of(KEYWORDS, "ts").await;
    made.has(
        "types.d.ts",
        &[
            "declare module 'acme:interface/class@1.0.0' {\n",
            "  export type Kind = 'def' | 'func' | 'async' | 'class';\n",
            "  export interface Bits {\n    a?: boolean;\n    final?: boolean;\n    notOk?: boolean;\n  }\n",
            "    | { tag: 'nested'; val: (Point | null | undefined)[][] }\n",
            "    | { tag: 'unit'; val: { tag: 'ok' } | { tag: 'err' } };\n",
            "  export type Keys = import('acme:interface/types@1.0.0').KeyList;\n",
            "  export function fetch(request: Request): Response;\n",
        ],
    );
}

#[tokio::test]
async fn an_interface_in_a_folder_has_its_packages_and_no_package_twice() {
    let folder = Folder::new();
    for (file, text) in [
        (
            "wit/main.wit",
            "package local:my-orders;\nworld w { import wasi:cli/environment@0.2.12; import oneflight:client/fetch@0.1.0; \
             export acme:%list/one@1.0.0; }\nworld none {}",
        ),
        (
            "wit/deps/list/a.wit",
            "package acme:%list@1.0.0;\ninterface one { get: func(x: string) -> u32; }",
        ),
        (
            "wit/deps/cli/e.wit",
            "package wasi:cli@0.2.12;\ninterface environment { get-environment: func() -> list<tuple<string, string>>; }",
        ),
        (
            "wit/deps/of.wit",
            include_str!("../../wit/oneflight-client.wit"),
        ),
    ] {
        std::fs::create_dir_all(folder.path().join(file).parent().unwrap()).unwrap();
        folder.write(file, text.as_bytes());
    }
    let args = ["new", "my-orders", "--lang", "js", "--interface", "wit"];
    let output = run_in(folder.path(), &args).await;
    assert!(output.status.success(), "{}", stderr(&output));
    let made = Made {
        folder,
        language: "js",
    };
    let wit: Vec<_> = made
        .files()
        .into_iter()
        .filter(|file| file.starts_with("wit/"))
        .collect();
    assert_eq!(
        wit,
        [
            "wit/deps/acme-list/a.wit",
            "wit/deps/local-my-orders/main.wit",
            "wit/deps/oneflight-client.wit",
            "wit/deps/wasi-cli/e.wit",
            "wit/world.wit"
        ]
    );
    // The package of the client is another one than the given one.
    made.has(
        "wit/world.wit",
        &[
            "package local:my-orders-client;\n",
            "  import wasi:cli/environment@0.2.12;\n",
        ],
    );
    assert!(!made.text("wit/world.wit").contains("package wasi:cli"));
    made.has("upstream.js", &["from 'wasi:cli/environment@0.2.12';\n"]);
}
