"""Every URL that a node may ask for, and every one that an administrator's client may: the one list.

Node-facing paths are served on the addresses of muster.yaml, the API on its unix socket only.
"""

BLOBS = "/blobs/sha256"
LOADER_FILES = "/boot/files"
BOOT_IPXE = "/boot/1/ipxe"
NODE_HELLO = "/node/1/hello"
NODE_PLAN = "/node/1/{boot}/plan"
NODE_OVERLAY = "/node/1/{boot}/overlay"
NODE_REPORT = "/node/1/{boot}/report"
NODE_HEARTBEAT = "/node/1/{boot}/heartbeat"

API = "/api/1"
API_OBJECTS = f"{API}/objects/{{kind}}"
API_OBJECT = f"{API}/objects/{{kind}}/{{name}}"
API_APPLY = f"{API}/apply"
API_EXPORT = f"{API}/export"
API_IMPORT = f"{API}/import"
API_SET = f"{API}/set"
API_DELETE = f"{API}/delete"
API_ADOPT = f"{API}/adopt"
API_EXPLAIN = f"{API}/explain/{{node}}"
API_TRACE = f"{API}/trace/{{node}}"
API_STATUS = f"{API}/status"
API_VERSIONS = f"{API}/versions"
API_VERSION = f"{API}/versions/{{reference}}"
API_IMAGES = f"{API}/images"
API_TAG = f"{API}/tag"
API_LIVE = f"{API}/live"
API_POWER = f"{API}/power"
API_NODERANGE = f"{API}/noderange"
API_GROUPS = f"{API}/groups"
API_CHANGES = f"{API}/changes"
API_AUDIT = f"{API}/audit"
API_COMPLETE = f"{API}/complete"
API_VERSION_INFO = f"{API}/version"


def blob(base: str, sha256: str) -> str:
    """The URL of a blob on the server `base` (`http://host:port`)."""
    return f"{base}{BLOBS}/{sha256}"
