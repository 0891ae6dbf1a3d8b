// A classic script, as Swagger UI comes as one.
globalThis.SwaggerUIBundle({ url: "openapi.json", dom_id: "#docs", deepLinking: true });
