/* SPDX-License-Identifier: Apache-2.0
 * Opens the Vulkan loader and makes the instance, with the validation layer (core and synchronisation
 * checks) when PV_VALIDATE is set: its messages are failures of ours. */
#include <string.h>

#include "dev/vk/vk.h"
#include "platform/platform.h"

static int messages;

int vk_validation_errors(void) { return messages; }

static VKAPI_ATTR VkBool32 VKAPI_CALL on_message(VkDebugUtilsMessageSeverityFlagBitsEXT severity,
    VkDebugUtilsMessageTypeFlagsEXT types, const VkDebugUtilsMessengerCallbackDataEXT *data, void *user)
{
    messages++;
    pv_fail(PV_FAULT_DEVICE, "Vulkan validation: %s", data->pMessage);
    return VK_FALSE;
}

static VkInstance make_instance(PFN_vkGetInstanceProcAddr get, bool validate, VkResult *r)
{
    PFN_vkCreateInstance create = (PFN_vkCreateInstance)get(NULL, "vkCreateInstance");
    PFN_vkEnumerateInstanceExtensionProperties list_ext = (PFN_vkEnumerateInstanceExtensionProperties)
        get(NULL, "vkEnumerateInstanceExtensionProperties");
    const char *ext[4], *layer = "VK_LAYER_KHRONOS_validation";
    uint32_t num_ext = 0, have = 0;
    VkInstanceCreateFlags flags = 0;
    list_ext(NULL, &have, NULL);
    VkExtensionProperties *props = pv_array(VkExtensionProperties, have + 1);
    list_ext(NULL, &have, props);
    for (uint32_t i = 0; i < have; i++)
        if (pv_streq(props[i].extensionName, "VK_KHR_portability_enumeration")) {
            ext[num_ext++] = "VK_KHR_portability_enumeration";
            flags = 1;          /* VK_INSTANCE_CREATE_ENUMERATE_PORTABILITY_BIT_KHR */
        }
    pv_free(props);
    VkValidationFeatureEnableEXT enable[] = {VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT};
    VkValidationFeaturesEXT features = {.sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT,
        .enabledValidationFeatureCount = 1, .pEnabledValidationFeatures = enable};
    VkDebugUtilsMessengerCreateInfoEXT messenger = {
        .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT, .pNext = &features,
        .messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT,
        .messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT |
                       VK_DEBUG_UTILS_MESSAGE_TYPE_GENERAL_BIT_EXT,
        .pfnUserCallback = on_message};
    if (validate)
        ext[num_ext++] = VK_EXT_DEBUG_UTILS_EXTENSION_NAME;
    VkApplicationInfo app = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO, .pApplicationName = "protovox",
                             .pEngineName = "protovox", .apiVersion = VK_API_VERSION_1_1};
    VkInstanceCreateInfo ci = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
        .pNext = validate ? &messenger : NULL, .flags = flags, .pApplicationInfo = &app,
        .enabledLayerCount = validate ? 1 : 0, .ppEnabledLayerNames = &layer,
        .enabledExtensionCount = num_ext, .ppEnabledExtensionNames = ext};
    VkInstance inst = VK_NULL_HANDLE;
    *r = create(&ci, NULL, &inst);
    if (*r != VK_SUCCESS)
        return VK_NULL_HANDLE;
    if (validate) {
        PFN_vkCreateDebugUtilsMessengerEXT hook = (PFN_vkCreateDebugUtilsMessengerEXT)
            get(inst, "vkCreateDebugUtilsMessengerEXT");
        VkDebugUtilsMessengerEXT m;
        messenger.pNext = NULL;     /* the features belong to the instance alone */
        if (hook)
            hook(inst, &messenger, NULL, &m);
    }
    return inst;
}

const struct vk_loader *vk_load(struct pv_str *why)
{
    static pv_mutex_slot lock;
    static struct vk_loader l;
    static bool tried, good;
    static VkResult result;
    static bool have_lib;
    static char *named;
    pv_mutex *m = pv_mutex_of(&lock);
    pv_mutex_lock(m);
    if (!tried) {
        tried = true;
        pv_dynlib *lib = pv_dev_loader("PV_VULKAN_LIB", pv_vulkan_names, &named);
        have_lib = lib != NULL;
        if (lib)
            l.vkGetInstanceProcAddr = (PFN_vkGetInstanceProcAddr)(uintptr_t)
                pv_dynlib_sym(lib, "vkGetInstanceProcAddr");
        if (l.vkGetInstanceProcAddr && l.vkGetInstanceProcAddr(NULL, "vkCreateInstance")) {
            l.validate = pv_env("PV_VALIDATE") != NULL;
            l.instance = make_instance(l.vkGetInstanceProcAddr, l.validate, &result);
            if (!l.instance && l.validate)
                pv_fail(PV_FAULT_DEVICE, "PV_VALIDATE is set, but the validation layer cannot be loaded "
                        "(Debian: apt-get install vulkan-validationlayers)");
        }
        if (l.instance) {
            good = true;
#define X(f) if (!(l.f = (PFN_##f)l.vkGetInstanceProcAddr(l.instance, #f))) good = false;
            VK_INSTANCE_FUNCTIONS(X)
#undef X
        }
    }
    pv_mutex_unlock(m);
    if (good)
        return &l;
    if (why && named)
        pv_str_addf(why, "Vulkan: %s. Unset it, or name the loader's file (libvulkan).\n", named);
    else if (why && !have_lib)
        pv_str_addf(why, "Vulkan: no loader (libvulkan) found. Install one and a driver, on Debian: apt-get "
                    "install libvulkan1 mesa-vulkan-drivers\n");
    else if (why)
        pv_str_addf(why, "Vulkan: the loader is there, but makes no instance (result %d); is a driver "
                    "installed? Debian: apt-get install mesa-vulkan-drivers\n", (int)result);
    return NULL;
}
