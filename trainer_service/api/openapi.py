"""Describes bodies that are JSON or multipart in OpenAPI."""

from typing import Any

from pydantic import BaseModel

from trainer_service.api.bodies import ARCHIVE_FIELD, FOLDER_FIELD


def body_of(kind: type[BaseModel]) -> dict[str, Any]:
    """Return the `openapi_extra` of a route that takes `kind` as JSON, or as a form with images."""
    schema = _inlined(kind.model_json_schema())
    content = {"application/json": {"schema": schema}, **_form(schema)}
    return {"requestBody": {"required": True, "content": content}}


def form_of(kind: type[BaseModel]) -> dict[str, Any]:
    """Return the `openapi_extra` of a route that takes a form with images and fields of `kind`."""
    content = _form(_inlined(kind.model_json_schema()))
    return {"requestBody": {"required": True, "content": content}}


def _form(schema: dict[str, Any]) -> dict[str, Any]:
    archive = {"type": "string", "format": "binary", "description": "zip, tar or tar.gz"}
    folder = {
        "type": "array",
        "items": {"type": "string", "format": "binary"},
        "description": "a folder's files instead, each with its relative path for a file name",
    }
    images = {ARCHIVE_FIELD: archive, FOLDER_FIELD: folder}
    form = {**schema, "properties": {**images, **schema["properties"]}}
    return {"multipart/form-data": {"schema": form}}


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """Replace the references into `$defs`, which have no meaning inside an OpenAPI document."""
    definitions = schema.pop("$defs", {})

    def inline(node: Any) -> Any:
        if isinstance(node, list):
            return [inline(item) for item in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            return inline(definitions[node["$ref"].rpartition("/")[2]])
        return {key: inline(value) for key, value in node.items()}

    result: dict[str, Any] = inline(schema)
    return result
