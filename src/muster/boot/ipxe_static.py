"""The one script that every iPXE gets by TFTP: it asks the controller what to do, and never gives up.

It is the same for all nodes, so it holds no state. It runs on the iPXE of Debian 12 (2019-01), which
retries nothing by itself and cannot POST; facts therefore travel in the query (DESIGN section 2).

iPXE before 2021-11 decodes a query and encodes it again without `&` and `+`
(https://github.com/ipxe/ipxe/pull/516). So the free SMBIOS texts come last: whatever they hold, the facts
before them arrive whole, and the first value of a name is the true one.
"""

from muster.model import urls

_FACTS = (
    "mac=${netX/mac}",
    "uuid=${uuid}",
    "platform=${platform}",
    "buildarch=${buildarch}",
    "ip=${netX/ip}",
    "serial=${serial:uristring}",
    "asset=${asset:uristring}",
    "product=${product:uristring}",
    "manufacturer=${manufacturer:uristring}",
)


def render(port: int) -> str:
    """The script; `port` is where the DHCP answer's next-server serves HTTP.

    The limit of 60 s (in ms) is for one fetch: a server that accepts and then hangs is asked again too.
    `chain` without `--replace`: whatever the answer does wrong, control comes back here.
    """
    return f"""\
#!ipxe
# The same for all nodes; the answer of the controller is not.
set ask http://${{next-server}}:{port}{urls.BOOT_IPXE}
set sorry Muster: no usable answer, next try in 2 seconds
:again
echo Muster: ${{netX/mac}} at ${{netX/ip}} asks ${{ask}}
chain --autofree --timeout 60000 ${{ask}}?{"&".join(_FACTS)} || echo ${{sorry}}
sleep 2
goto again
"""
